//! Every kernel on every instruction set that the processor has, at sizes that fill no register, some, and more.
//!
//! What the portable form gives is the measure here; `tests/` hold it against burn's own operations. Reading behind a
//! pixel gives NaN, and writing where a kernel may not shows (see [`test_memory`](crate::test_memory)).

mod convolutions;
mod losses;
mod maps;
mod rows;

use std::any::type_name;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use crate::images::{Images, Size};
use crate::simd::Isa;
use crate::test_memory::{numbers, with_gap};

/// Channels around the lanes of every instruction set, and around the registers of the widest tiles.
const CHANNELS: [usize; 16] = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65, 70];
/// Of the largest value: Winograd's filtering and the order of sums.
const TOLERANCE: f32 = 2e-5;

/// What some kernels give on an instruction set, for maps of so many channels.
type Case = fn(Isa, usize) -> Vec<Vec<f32>>;

thread_local! {
    static RECORDS: Cell<bool> = const { Cell::new(false) };
}
static RAN: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// Notes that a kernel runs, on the threads of the test below alone.
pub(crate) fn ran<K>(isa: Isa) {
    if RECORDS.get() {
        let name = type_name::<K>();
        let name = name.split('<').next().unwrap_or(name);
        let mut ran = RAN.lock().expect("no test panics with it");
        ran.insert((name.to_string(), isa.to_string()));
    }
}

/// A map whose pixels are followed by NaN.
struct Map {
    values: Vec<f32>,
    size: Size,
}

const GAP: usize = 3;

impl Map {
    fn new(key: &str, [batch, height, width, channels]: [usize; 4]) -> Self {
        let size = Size::of([batch, channels, height, width]);
        Self {
            values: with_gap(&numbers(key, size.len()), size, GAP),
            size,
        }
    }

    fn images(&self) -> Images<'_> {
        Images::with_pitch(&self.values, self.size, self.size.channels + GAP)
    }
}

#[test]
fn every_kernel_runs_alike_on_every_instruction_set_and_tail() {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .start_handler(|_| RECORDS.set(true))
        .build()
        .expect("a pool of threads");
    let cases = || [maps::CASES, convolutions::CASES, losses::CASES, rows::CASES].concat();
    pool.install(|| {
        for (name, case) in cases() {
            for channels in CHANNELS {
                let want = case(Isa::PORTABLE, channels);
                for isa in Isa::available() {
                    let what = format!("{name} of {channels} channels with {isa}");
                    assert_alike(&what, &case(isa, channels), &want);
                }
            }
        }
    });

    let ran = RAN.lock().expect("no test panicked with it").clone();
    let mut kernels = BTreeSet::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    collect(&sources, "kd_kernels", &mut kernels);
    assert!(kernels.len() > 40, "the sources have kernels: {kernels:?}");
    let isas = Isa::available().into_iter().map(|isa| isa.to_string());
    let isas: Vec<String> = isas.collect();
    let wanted: BTreeSet<(String, String)> = kernels
        .into_iter()
        .flat_map(|kernel| isas.iter().map(move |isa| (kernel.clone(), isa.clone())))
        .collect();
    let missing: Vec<_> = wanted.difference(&ran).collect();
    assert!(missing.is_empty(), "add a case for {missing:?}");
    let unknown: Vec<_> = ran.difference(&wanted).collect();
    assert!(unknown.is_empty(), "not found in the sources: {unknown:?}");
    println!(
        "{} kernels and instruction sets: {}",
        ran.len(),
        isas.join(", ")
    );
}

#[track_caller]
fn assert_alike(what: &str, got: &[Vec<f32>], want: &[Vec<f32>]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (part, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got.len(), want.len(), "{what}, part {part}");
        assert!(!want.is_empty(), "{what}, part {part}: nothing to compare");
        let largest = want.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        for (index, (got, want)) in got.iter().zip(want).enumerate() {
            assert!(
                (got - want).abs() <= TOLERANCE * largest.max(1e-3),
                "{what}, part {part}, value {index}: {got} is not {want}"
            );
        }
    }
}

/// The types below `folder` that are kernels, as `type_name` writes them.
fn collect(folder: &Path, module: &str, kernels: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("the sources") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let stem = stem.expect("a name of characters");
        let inner = match stem {
            "mod" | "lib" => module.to_string(),
            _ => format!("{module}::{stem}"),
        };
        if path.is_dir() {
            collect(&path, &inner, kernels);
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        // The kernels of a short operation are in a module within its file.
        let mut within = inner.clone();
        for line in text.lines() {
            if let Some(name) = line
                .strip_suffix(" {")
                .and_then(|line| line.split_once("mod "))
            {
                within = format!("{inner}::{}", name.1);
            } else if line == "}" {
                within.clone_from(&inner);
            }
            if let Some((_, name)) = line.split_once("Kernel for ")
                && line.trim_start().starts_with("impl")
            {
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
                kernels.insert(format!("{within}::{}", &name[..end.unwrap_or(name.len())]));
            }
        }
    }
}
