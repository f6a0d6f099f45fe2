//! A few thousand cases a parser, and that faults are found.

use std::time::Duration;

use kd_fuzz::{Limits, Scratch, Seed, Target, fuzz, targets};

/// Cases that draw reports or build networks take longer.
fn cases(name: &str) -> u64 {
    match name {
        "metrics" | "summary" | "pth" | "safetensors" | "torchscript" | "exported" | "index" => {
            2_000
        }
        // Files of half a megabyte.
        "flax" | "keras" | "hdf5" => 500,
        _ => 5_000,
    }
}

#[test]
fn every_seed_is_accepted() {
    let scratch = Scratch::new();
    for target in targets() {
        // The pickles of Python 3 are of two images, and the set has ten classes.
        let pickles = target.name == "cifar_pickle";
        for seed in &target.seeds {
            let result = (target.run)(&scratch, &seed.file());
            let wrong_counts = pickles && seed.repair.is_none();
            let accepted = match &result {
                Err(problem) if wrong_counts => problem.contains("label"),
                Err(problem) => problem.contains("holds no tensors"),
                Ok(()) => true,
            };
            assert!(accepted, "{}: {result:?}", target.name);
        }
    }
}

#[test]
fn no_parser_panics_hangs_or_allocates_too_much() {
    for target in targets() {
        let stuck = |case| panic!("{} hangs at case {case}", target.name);
        let report = fuzz(&target, cases(target.name), 7, Limits::default(), &stuck);
        let faults: Vec<_> = report.faults.iter().take(3).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", target.name);
        assert!(report.accepted < report.cases, "{report:?}");
    }
}

#[test]
fn a_panic_an_allocation_and_a_long_case_are_found() {
    fn run(_: &Scratch, bytes: &[u8]) -> Result<(), String> {
        assert!(bytes.first() != Some(&b'p'), "as it should");
        if bytes.first() == Some(&b'a') {
            drop(std::hint::black_box(vec![1u8; 1 << 20]));
        }
        if bytes.first() == Some(&b't') {
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(())
    }
    let target = |letter: &str| Target {
        name: "bad",
        run,
        seeds: vec![Seed {
            bytes: format!("{letter}{}", "x".repeat(400)).into_bytes(),
            repair: None,
        }],
        words: &[],
        allowance: 1 << 10,
        multiple: 10,
    };
    let limits = Limits {
        time: Duration::from_millis(20),
    };
    for (letter, part) in [("p", "as it should"), ("a", "allocates"), ("t", "takes")] {
        let report = fuzz(&target(letter), 20, 1, limits, &|_| {});
        assert!(
            report.faults.iter().any(|f| f.problem.contains(part)),
            "{letter}: {report:?}"
        );
        let first = &report.faults[0];
        let (bytes, _) = kd_fuzz::repeat(&target(letter), 1, first.case);
        assert_eq!(bytes, kd_fuzz::case(&target(letter), 1, first.case));
    }
}
