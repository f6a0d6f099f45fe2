//! Recipes, studies, searches, and what a run leaves.

use std::path::Path;
use std::sync::OnceLock;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_models::{Network, NetworkConfig};
use kd_train::cache::{CacheConfig, Identity, TeacherCache};
use kd_train::search::Search;
use kd_train::study::Study;
use kd_train::{Recipe, Record, Summary, fuzzing, report};
use sha2::{Digest, Sha256};

use super::{Seed, Target, text};
use crate::Scratch;

const RECIPE: &str = include_str!("../../seeds/recipe.toml");
const STUDY: &str = include_str!("../../seeds/study.toml");
const SEARCH: &str = include_str!("../../seeds/search.toml");
const METRICS: &str = include_str!("../../seeds/metrics.jsonl");
const SUMMARY: &str = include_str!("../../seeds/summary.json");

pub(super) fn recipe() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        let path = scratch.file("recipes/recipe.toml", bytes);
        let recipe = Recipe::load(&path, &[]).map_err(text)?;
        recipe.plans();
        // What was read can be written and read again.
        let written = recipe.to_toml().map_err(text)?;
        scratch.file("recipes/recipe.toml", written.as_bytes());
        let again = Recipe::load(&path, &[]).map_err(text)?;
        assert_eq!(again, recipe, "a recipe is another after it was written");
        Ok(())
    }
    Target {
        name: "recipe",
        run,
        seeds: vec![Seed::plain(RECIPE)],
        words: RECIPE_WORDS,
        allowance: 512 << 10,
        multiple: 100,
    }
}

const RECIPE_WORDS: &[&[u8]] = &[
    b"[teacher]\n",
    b"[stages.x]\n",
    b"[student]\n",
    b"[objective.kd]\n",
    b"weight = ",
    b"temperature = ",
    b"epochs = ",
    b"teachers = [\"x\"]\n",
    b"start = \"x\"\n",
    b"peers = [\"resnet8\"]\n",
    b"normalize = ",
    b"\"\"\"",
    b"'''",
    b"mutual = true\n",
    b"views = 3\n",
    b"lr = { peak = 0.1, warmup = 1 }\n",
    b"augment = \"none\"\n",
    b"validation = 0.5\n",
    b"ema = 0.9\n",
];

pub(super) fn study() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        scratch.once("studies/recipe.toml", || RECIPE.into());
        let path = scratch.file("studies/study.toml", bytes);
        Study::load(&path, &[], None).map(drop).map_err(text)
    }
    Target {
        name: "study",
        run,
        seeds: vec![Seed::plain(STUDY)],
        words: &[
            b"[variants.x]\n",
            b"recipe = \"recipe.toml\"\n",
            b"seeds = ",
            b"objective.kd",
            b"train.epochs = ",
            b".",
            b"*",
        ],
        allowance: 512 << 10,
        // A line makes a variant, which is a whole recipe.
        multiple: 5_000,
    }
}

pub(super) fn search() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        scratch.once("searches/recipe.toml", || RECIPE.into());
        let path = scratch.file("searches/search.toml", bytes);
        Search::load(&path, &[]).map(drop).map_err(text)
    }
    Target {
        name: "search",
        run,
        seeds: vec![Seed::plain(SEARCH)],
        words: &[
            b"[parameters]\n",
            b"asha = { least = 1 }\n",
            b"recipe = \"recipe.toml\"\n",
            b"sampler = \"grid\"\n",
            b"{ from = 1.0, to = 2.0 }",
            b"{ least = 1, most = 9223372036854775807 }",
            b"objectives = [",
            b"steps = ",
            b".",
        ],
        allowance: 512 << 10,
        multiple: 5_000,
    }
}

fn identity() -> Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    let make = || {
        let device = Device::flex();
        let config = NetworkConfig::new("resnet8", 3, 1);
        let network = Network::new(&config, &device).expect("a network of the registry");
        let example = Tensor::zeros([2, 1, 8, 8], &device);
        let data = vec![("data", "none".to_owned())];
        // The hash of drawn weights would be another one every time.
        let zeros = network.valid().map(&mut Zero);
        Identity::new(&CacheConfig::default(), &zeros, "resnet8", example, data, 4)
            .expect("an identity")
    };
    IDENTITY.get_or_init(make).clone()
}

/// Makes every parameter 0.
struct Zero;

impl burn::module::ModuleMapper for Zero {
    fn map_float<const D: usize>(
        &mut self,
        param: burn::module::Param<Tensor<D>>,
    ) -> burn::module::Param<Tensor<D>> {
        param.map(|tensor| tensor.zeros_like())
    }
}

pub(super) fn teacher_cache() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        let path = scratch.file("answers.kdcache", bytes);
        TeacherCache::open(identity(), Some(&path))
            .map(drop)
            .map_err(text)
    }
    /// The checksums of the text and of the answers, made right.
    fn checksums(mut file: Vec<u8>) -> Vec<u8> {
        const TEXT: usize = 56;
        const ANSWER: usize = 4 * 3;
        let Some(length) = file.get(12..16) else {
            return file;
        };
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let Some(end) = TEXT.checked_add(length).filter(|end| *end <= file.len()) else {
            return file;
        };
        let sum = Sha256::digest(&file[TEXT..end]);
        file[24..TEXT].copy_from_slice(&sum);
        for answer in file[end..].chunks_exact_mut(8 + ANSWER + 8) {
            let (content, sum) = answer.split_at_mut(8 + ANSWER);
            sum.copy_from_slice(&Sha256::digest(content)[..8]);
        }
        file
    }
    /// An empty cache of the target's identity, with three answers behind it.
    fn seed() -> Vec<u8> {
        let scratch = Scratch::new();
        let path = scratch.folder("seed").join("seed.kdcache");
        drop(TeacherCache::open(identity(), Some(Path::new(&path))).expect("a cache"));
        let mut file = std::fs::read(path).expect("a cache");
        file.extend((0..3 * 28).map(|byte| byte as u8));
        file[16] = 3;
        file
    }
    Target {
        name: "teacher_cache",
        run,
        seeds: vec![Seed::inside(seed(), checksums)],
        words: &[b"kdcache\n", b" = ", b"classes = 3", b"teacher = "],
        allowance: 64 << 10,
        multiple: 16,
    }
}

pub(super) fn state() -> Target {
    fn run(_: &Scratch, bytes: &[u8]) -> Result<(), String> {
        fuzzing::read_state(bytes)
    }
    Target {
        name: "state",
        run,
        seeds: vec![Seed::inside(fuzzing::state(), fuzzing::with_checksum)],
        words: &[
            b"kdstate\n",
            b"\x65place",
            b"\x68students",
            b"\x67network",
            b"\xf6",
            b"\xff",
            b"\x9f",
            b"\xbf",
            b"\x9b\0\0\0\xff\xff\xff\xff\xff",
            b"\x5a\x7f\xff\xff\xff",
        ],
        // serde reserves up to a MiB for a sequence, whose length may be any; three are in each other.
        allowance: 4 << 20,
        multiple: 16,
    }
}

/// One report in so many cases that are accepted: it draws every plot, which takes its time.
const DRAWN: usize = 8;

fn draw(scratch: &Scratch, name: &str, metrics: &[u8], summary: &[u8]) -> Result<(), String> {
    scratch.file(&format!("{name}/metrics.jsonl"), metrics);
    scratch.file(&format!("{name}/summary.json"), summary);
    scratch.file(&format!("{name}/recipe.toml"), RECIPE.as_bytes());
    report::write(&scratch.folder(name)).map(drop).map_err(text)
}

pub(super) fn metrics() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        let metrics = std::str::from_utf8(bytes).map_err(text)?;
        for line in metrics.lines() {
            Record::read(line).map_err(text)?;
        }
        match bytes.len() % DRAWN {
            0 => draw(scratch, "metrics", bytes, SUMMARY.as_bytes()),
            _ => Ok(()),
        }
    }
    Target {
        name: "metrics",
        run,
        seeds: vec![Seed::plain(METRICS)],
        words: &[
            b"\"role\":\"teacher\"",
            b"\"role\":\"stage:x\"",
            b"\"seed\":",
            b"\"step\":",
            b"\"epoch\":",
            b"\"loss\":",
            b"\"components\":{",
            b"\"kind\":",
            b"1e300",
        ],
        allowance: 2 << 20,
        multiple: 400,
    }
}

pub(super) fn summary() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        let summary = std::str::from_utf8(bytes).map_err(text)?;
        Summary::read(summary).map_err(text)?;
        match bytes.len() % DRAWN {
            0 => draw(scratch, "summary", METRICS.as_bytes(), bytes),
            _ => Ok(()),
        }
    }
    Target {
        name: "summary",
        run,
        seeds: vec![Seed::plain(SUMMARY)],
        words: &[
            b"\"networks\":[",
            b"\"role\":\"teacher\"",
            b"\"test\":",
            b"\"gain\":null",
            b"\"classes\":[",
            b"\"per_class\":[",
            b"\"seed\":1",
            b"1e300",
            b"\"value\":",
        ],
        allowance: 2 << 20,
        multiple: 400,
    }
}
