//! Runs that are killed and go on end as if nothing had happened, to the last bit.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

#[path = "chaos/compare.rs"]
mod compare;
#[path = "chaos/kill.rs"]
mod kill;
#[path = "chaos/kinds.rs"]
mod kinds;

use rand::SeedableRng;
use rand::rngs::StdRng;

use self::kill::Trial;
use self::kinds::KINDS;

/// One run of every kind, killed once.
#[test]
fn a_killed_run_goes_on_bit_for_bit() {
    for kind in KINDS {
        let mut draws = StdRng::seed_from_u64(1);
        let trial = Trial::new(kind);
        let kills = trial.go(&mut draws, 1);
        assert_eq!(kills, 1, "{}", kind.name);
    }
}

/// As many runs as `KD_CHAOS_RUNS` says, the kinds in turn: `cargo xtask chaos`.
#[test]
#[ignore = "takes as long as KD_CHAOS_RUNS says"]
fn many_killed_runs_go_on_bit_for_bit() {
    let number = |name: &str, default: u64| {
        let text = std::env::var(name).unwrap_or_else(|_| default.to_string());
        text.parse::<u64>()
            .unwrap_or_else(|e| panic!("{name} = {text}: {e}"))
    };
    let (runs, seed) = (number("KD_CHAOS_RUNS", 12), number("KD_CHAOS_SEED", 1));
    let trials: Vec<Trial> = KINDS.iter().map(|kind| Trial::new(*kind)).collect();
    let mut done = vec![(0, 0); trials.len()];
    for number in 0..runs {
        let at = number as usize % trials.len();
        let mut draws = StdRng::seed_from_u64(seed << 32 | number);
        let kills = trials[at].go(&mut draws, 3);
        done[at] = (done[at].0 + 1, done[at].1 + kills);
        eprintln!(
            "run {} of {runs}, {}: equal after {kills} kills",
            number + 1,
            trials[at].kind.name
        );
    }
    for (trial, (runs, kills)) in trials.iter().zip(&done) {
        eprintln!(
            "{}: {runs} of {runs} runs equal, {kills} kills",
            trial.kind.name
        );
    }
    let (runs, kills) = done
        .iter()
        .fold((0, 0), |sum, d| (sum.0 + d.0, sum.1 + d.1));
    eprintln!("{runs} of {runs} runs equal, {kills} kills");
}
