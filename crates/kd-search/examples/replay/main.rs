//! ASHA against random search at equal cost, on the curves of a grid that was trained to the end.
//!
//! ```sh
//! kd search recipes/search/recorded.toml
//! cargo run -p kd-search --example replay -- runs/recorded/search.json
//! ```

mod recorded;

use std::error::Error;

use kd_search::Found;

use self::recorded::Recorded;

/// Orders of the settings, and the first rung and factor of ASHA.
const SEEDS: u64 = 5;
const LEAST: usize = 1;
const ETA: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1);
    let path = path.ok_or("name the search.json of a grid without [asha]")?;
    let text = std::fs::read_to_string(&path).map_err(|e| format!("read {path}: {e}"))?;
    let found: Found = serde_json::from_str(&text).map_err(|e| format!("{path}: {e}"))?;
    let sign = if found.lower { -1.0 } else { 1.0 };
    let curves = found.scored().into_iter();
    let curves = curves.map(|trial| trial.curve().into_iter().map(|v| sign * v).collect());
    let recorded = Recorded::new(curves.collect())?;
    println!(
        "{} settings of {} epochs; regret in {}\n\n| seed | epochs | ASHA | random |\n| ---: | ---: | ---: | ---: |",
        recorded.settings(),
        recorded.epochs(),
        found.score
    );
    let (mut asha, mut random) = (0.0, 0.0);
    for seed in 1..=SEEDS {
        let ours = recorded.asha(LEAST, ETA, seed)?;
        let theirs = recorded.random(ours.cost, seed);
        println!(
            "| {seed} | {} | {:.2} | {:.2} |",
            ours.cost, ours.regret, theirs.regret
        );
        asha += ours.regret;
        random += theirs.regret;
    }
    let mean = |sum: f64| sum / SEEDS as f64;
    println!("| mean | | {:.2} | {:.2} |", mean(asha), mean(random));
    Ok(())
}
