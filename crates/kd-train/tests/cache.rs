//! The teacher cache: exact where it says so, smaller where it is told to be, refused where it cannot serve.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_train::study::Shard;
use kd_train::{
    AnswerWork, Error, Event, Observer, Recipe, Record, Role, RunOptions, Silent, Summary, run,
    teacher_answers,
};

/// 52 images in batches of 16, 16, 16 and 4; a move by one pixel and a flip have 18 views.
const RECIPE: &str = r#"name = "cached"
compare = false

[data]
name = "fashion_mnist_small"
train_limit = 52
test_limit = 10
validation = 0.0
augment = { crop = 1, flip = true }

[student]
model = "resnet8"

[teacher]
model = "resnet8"
train = { epochs = 1, batches_per_epoch = 1, batch = 16, lr = { peak = 0.05 } }

[objective.cross_entropy]
weight = 0.1
[objective.kd]
[objective.rkd]

[train]
epochs = 4
batch = 16
log_every = 1
lr = { peak = 0.05 }
"#;

struct Scratch(tempfile::TempDir);

/// Into this folder, with so many seeds.
fn options(out: PathBuf, seeds: usize) -> RunOptions {
    RunOptions {
        reuse: false,
        resume: false,
        out,
        seeds,
        device_name: "flex".into(),
    }
}

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn recipe(&self, overrides: &[&str]) -> Result<Recipe, Error> {
        let file = self.0.path().join("cached.toml");
        std::fs::write(&file, RECIPE).unwrap();
        let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
        Recipe::load(&file, &overrides)
    }

    fn out(&self, name: &str) -> PathBuf {
        self.0.path().join("runs").join(name)
    }

    fn start(&self, name: &str, seeds: usize, overrides: &[&str]) -> Result<Run, Error> {
        self.start_watched(name, seeds, overrides, &mut Silent)
    }

    fn start_watched(
        &self,
        name: &str,
        seeds: usize,
        overrides: &[&str],
        observer: &mut dyn Observer,
    ) -> Result<Run, Error> {
        let options = options(self.out(name), seeds);
        let recipe = self.recipe(overrides)?;
        let summary = run(&recipe, &options, &Device::flex(), observer)?;
        Ok(Run {
            losses: losses(&options.out),
            summary,
        })
    }

    fn run(&self, name: &str, seeds: usize, overrides: &[&str]) -> Run {
        self.start(name, seeds, overrides).unwrap()
    }
}

/// Keeps what a run says, and the networks that it starts to train; and counts the batches that a teacher was asked
/// about before.
#[derive(Default)]
struct Notes(Vec<String>, usize);

impl Observer for Notes {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Started { role, .. } => self.0.push(role.to_string()),
            Event::Note(text) => self.0.push(text.into()),
            Event::Asked { .. } => self.1 += 1,
            _ => {}
        }
    }
}

struct Run {
    /// Loss, components and gradient norm of every step and the loss of every epoch, as bits.
    losses: Vec<u64>,
    summary: Summary,
}

impl Run {
    fn stats(&self) -> (u64, u64) {
        let cache = self.summary.cache.as_ref().unwrap();
        assert_eq!(
            cache.saved,
            100.0 * cache.hits as f64 / (cache.hits + cache.misses) as f64
        );
        (cache.hits, cache.misses)
    }
}

fn records(out: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|l| serde_json::from_str(l).unwrap());
    lines.collect()
}

fn losses(out: &Path) -> Vec<u64> {
    let mut values = Vec::new();
    for record in records(out) {
        match record {
            Record::Step(s) => {
                values.extend([s.loss, s.gradient_norm]);
                values.extend(s.components.values().map(|c| c.value));
            }
            Record::Epoch(e) => values.push(e.loss),
            _ => {}
        }
    }
    values.into_iter().map(f64::to_bits).collect()
}

const EXACT: &str = "teacher.cache={ embedding = true }";
const FILE: &str = "teacher.cache={ embedding = true, place = \"file\" }";

#[test]
fn an_exact_cache_changes_no_bit_in_memory_or_in_a_file() {
    let scratch = Scratch::new();
    let plain = scratch.run("plain", 2, &[]);
    // The teacher's step and epoch, then two seeds of 16 steps and 4 epochs.
    assert_eq!(plain.losses.len(), 4 + 2 * (16 * 5 + 4));
    assert!(plain.summary.cache.is_none());

    let memory = scratch.run("memory", 2, &[EXACT]);
    assert_eq!(memory.losses, plain.losses);
    let (hits, misses) = memory.stats();
    assert_eq!(hits + misses, 2 * 4 * 52);
    // Eight draws of 18 views differ 6.6 times on average.
    assert!((300..400).contains(&misses), "{misses}");
    let cache = memory.summary.cache.unwrap();
    assert_eq!(
        (cache.answers, cache.bytes),
        (misses, misses * 4 * (10 + 64))
    );

    let first = scratch.run("first", 2, &[FILE]);
    assert_eq!(first.losses, plain.losses);
    assert_eq!(first.stats(), (hits, misses));
    let file = first.summary.cache.unwrap().file.unwrap();
    assert!(file.starts_with(scratch.out("teacher-cache")), "{file:?}");
    assert!(file.to_str().unwrap().contains("resnet8-"), "{file:?}");

    // The next run has nothing to ask.
    let second = scratch.run("second", 2, &[FILE]);
    assert_eq!(second.losses, plain.losses);
    assert_eq!(second.stats(), (hits + misses, 0));

    // Every epoch says how much was answered from the cache.
    let of_epochs: Vec<_> = records(&scratch.out("memory"))
        .iter()
        .filter_map(|r| match r {
            Record::Epoch(e) if e.role == Role::Distilled => Some(e.cache.unwrap()),
            _ => None,
        })
        .collect();
    assert_eq!(of_epochs.len(), 8);
    assert_eq!((of_epochs[0].hits, of_epochs[0].misses), (0, 52));
    assert_eq!(of_epochs.iter().map(|c| c.hits).sum::<u64>(), hits);
}

#[test]
fn maps_that_are_kept_are_those_of_the_teacher() {
    let scratch = Scratch::new();
    let hint = "objective.fitnet={ level = 2 }";
    let alike = "objective.sp={}";
    let asked = scratch.run("asked", 1, &[hint, alike]);
    for (name, place) in [("memory", "memory"), ("file", "file")] {
        let cache =
            format!("teacher.cache={{ embedding = true, maps = [3, 2], place = \"{place}\" }}");
        let kept = scratch.run(name, 1, &[hint, alike, &cache]);
        assert_eq!(kept.losses, asked.losses, "{name}");
        assert!(kept.stats().0 > 0);
    }
}

#[test]
fn accumulated_batches_find_their_own_images() {
    let scratch = Scratch::new();
    let overrides = ["train.accumulate=3", "train.epochs=3", "objective.rkd="];
    let plain = scratch.run("plain", 1, &overrides);
    let cached = [&overrides[..], &["teacher.cache={}"]].concat();
    assert_eq!(scratch.run("cached", 1, &cached).losses, plain.losses);
}

#[test]
fn a_stopped_epoch_is_not_lost() {
    let scratch = Scratch::new();
    // The loss explodes in the second step: two batches are in the file, and no epoch ended.
    let error = scratch.start("broken", 1, &[FILE, "train.lr.peak=1e30"]);
    assert!(matches!(error, Err(Error::NotFinite { .. })));
    let whole = scratch.run("whole", 1, &[FILE]);
    let (hits, misses) = whole.stats();
    assert!(whole.summary.cache.unwrap().answers >= misses + 32);
    assert_eq!(hits + misses, 4 * 52);
}

#[test]
fn a_few_views_are_repeated_in_turn() {
    let scratch = Scratch::new();
    let with = |name: &str, views: usize| {
        let cache = format!("teacher.cache={{ views = {views}, embedding = true }}");
        scratch.run(name, 1, &[&cache, "compare=true"])
    };
    let plain = scratch.run("plain", 1, &["compare=true"]);
    let two = with("two", 2);
    let (hits, misses) = two.stats();
    assert_eq!(hits + misses, 4 * 52);
    // Two draws of 18 views are the same for one image in 18.
    assert!((90..=104).contains(&misses), "{misses}");
    assert_eq!(with("again", 2).losses, two.losses);

    // From the third epoch on both students see other images than without the key.
    for role in [Role::Baseline, Role::Distilled] {
        let of_epochs = |name: &str| -> Vec<f64> {
            let all = records(&scratch.out(name));
            let of_arm = all.into_iter().filter_map(|r| match r {
                Record::Epoch(e) if e.role == role => Some(e.loss),
                _ => None,
            });
            of_arm.collect()
        };
        let (plain, two) = (of_epochs("plain"), of_epochs("two"));
        assert_eq!(plain[..2], two[..2], "{role}");
        assert_ne!(plain[2], two[2], "{role}");
    }
    // As many views as epochs are the same data.
    assert_eq!(with("many", 4).losses, plain.losses);
}

#[test]
fn less_precision_is_nearly_the_same() {
    let scratch = Scratch::new();
    let short = ["train.epochs=1", "objective.rkd="];
    let with = |name: &str, cache: &str| {
        let cache = format!("teacher.cache={cache}");
        scratch.run(name, 1, &[&short[..], &[&cache]].concat())
    };
    let exact = with("exact", "{}");
    let last = |run: &Run| f64::from_bits(*run.losses.last().unwrap());
    let half = with("half", "{ precision = \"f16\" }");
    assert_ne!(half.losses, exact.losses);
    assert!((last(&half) / last(&exact) - 1.0).abs() < 1e-3);
    assert_eq!(half.summary.cache.unwrap().bytes, 52 * 2 * 10);

    let three = with("three", "{ top_k = 3 }");
    assert_ne!(three.losses, exact.losses);
    assert_eq!(three.summary.cache.unwrap().bytes, 52 * (3 * (2 + 4) + 4));
    // A single other class shares its rest with nobody.
    assert_eq!(with("nine", "{ top_k = 9 }").losses, exact.losses);
}

#[test]
fn what_a_cache_cannot_serve_is_refused_before_anything_is_trained() {
    let scratch = Scratch::new();
    for (overrides, parts) in [
        (
            &["teacher.cache={}"][..],
            &[
                "objective.rkd needs the teacher's embedding",
                "teacher.cache.embedding = true",
            ][..],
        ),
        (
            &[EXACT, "objective.fitnet.level=2"],
            &[
                "objective.fitnet needs the teacher's maps of levels [2], which [teacher.cache]",
                "teacher.cache.maps = [2]",
            ],
        ),
        (
            &[EXACT, "objective.hint.term=at"],
            &[
                "objective.hint needs the teacher's maps of levels [1, 2, 3]",
                "remove the table or the term",
            ],
        ),
        (
            &["teacher.cache={ embedding = true, maps = [3, 9] }"],
            &["teacher.cache.maps = [3, 9]: the teacher has 4 levels"],
        ),
        (
            &["teacher.cache={ maps = [3, 3] }"],
            &["teacher.cache.maps = [3, 3]: list each level once"],
        ),
        (
            &[
                "teacher.cache={ embedding = true }",
                "objective.rkd.term=srrl",
            ],
            &[
                "objective.rkd needs the classifier of the teacher, which [teacher.cache] cannot serve",
            ],
        ),
        (
            &["teacher.cache={ embedding = true, top_k = 10 }"],
            &["teacher.cache.top_k = 10", "below the 10 classes"],
        ),
        (&["teacher.cache.views=0"], &["integer `0`", "at least 1"]),
        (
            &["teacher.cache.views=some"],
            &["\"some\"", "\"all\" or a number"],
        ),
        (&["teacher.cache.top_k=0"], &["teacher.cache.top_k = 0"]),
        (
            &["teacher.cache.path=x"],
            &["teacher.cache.place = \"file\""],
        ),
        (
            &["teacher.cache.precison=f16"],
            &["did you mean `precision`?"],
        ),
    ] {
        let Err(error) = scratch.start("refused", 1, overrides) else {
            panic!("{overrides:?} is accepted");
        };
        for part in parts {
            assert!(error.to_string().contains(part), "{error}, without {part}");
        }
        assert!(!scratch.out("refused").exists());
    }
}

/// A stage before the student that the cache serves too.
const STAGE: &str =
    "stages.first={ model = \"resnet8\", train = { epochs = 3, batch = 16, lr.peak = 0.05 } }";

#[test]
fn every_stage_that_learns_from_the_teacher_alone_is_served_and_counted() {
    let scratch = Scratch::new();
    let mut notes = Notes::default();
    let beside = "stages.beside={ model = \"resnet8\", peers = [\"resnet8\"], mutual = true }";
    let overrides = [EXACT, STAGE, beside];
    let ran = scratch
        .start_watched("stages", 2, &overrides, &mut notes)
        .unwrap();
    // Three epochs of the stage and four of the student, of two seeds; peers who learn from each other ask
    // nobody.
    let forecast = notes.0.iter().find(|note| note.contains("showings"));
    let forecast = forecast.unwrap();
    let start = "teacher cache: 14 showings of an image are about ";
    assert!(forecast.starts_with(start), "{forecast}");
    let (hits, misses) = ran.stats();
    assert_eq!(hits + misses, 14 * 52);

    let plain = scratch.run("plain", 2, &[STAGE, beside]);
    assert_eq!(ran.losses, plain.losses);
}

#[test]
fn a_stage_that_a_cache_cannot_serve_is_refused_with_its_name() {
    let scratch = Scratch::new();
    let own = "stages.hint={ model = \"resnet8\", objective = { fitnet = {} } }";
    let shared = "stages.hint={ model = \"resnet8\" }";
    let no_teacher = "student.teachers=[\"hint\"]";
    for (overrides, parts) in [
        (
            &[EXACT, own][..],
            &["stages.hint: objective.fitnet needs the teacher's maps of levels [2]"][..],
        ),
        (
            &["teacher.cache={}", shared, no_teacher],
            &[
                "stages.hint: objective.rkd needs the teacher's embedding",
                "teacher.cache.embedding = true",
            ],
        ),
        (
            &[
                EXACT,
                shared,
                "student.teachers=[\"teacher\", \"hint\"]",
                "stages.hint.teachers=[]",
            ],
            &[
                "[teacher.cache] would keep answers for nobody",
                "remove the table",
            ],
        ),
    ] {
        let mut notes = Notes::default();
        let Err(error) = scratch.start_watched("refused", 1, overrides, &mut notes) else {
            panic!("{overrides:?} is accepted");
        };
        for part in parts {
            assert!(error.to_string().contains(part), "{error}, without {part}");
        }
        assert!(notes.0.is_empty(), "{:?}", notes.0);
        assert!(!scratch.out("refused").exists());
    }
}

#[test]
fn a_stage_that_asks_for_more_is_fine_when_the_cache_does_not_serve_it() {
    let scratch = Scratch::new();
    let overrides = [
        EXACT,
        "stages.first={ model = \"resnet8\" }",
        "stages.hint={ model = \"resnet8\", teachers = [\"first\"], objective = { fitnet = {} } }",
        "train.epochs=1",
    ];
    let ran = scratch.run("hint", 1, &overrides);
    let (hits, misses) = ran.stats();
    assert_eq!(hits + misses, 2 * 52);
}

#[test]
fn a_cache_of_another_teacher_is_refused() {
    let scratch = Scratch::new();
    let set = [
        "teacher.cache={ embedding = true, place = \"file\" }",
        "teacher.cache.path=here.kdcache",
    ];
    let recipe = scratch.recipe(&set).unwrap();
    let path = recipe.teacher.unwrap().cache.unwrap().path.unwrap();
    assert_eq!(path, std::path::absolute("here.kdcache").unwrap());
    let inside = ["teacher.cache={ place = \"file\", path = \"here.kdcache\" }"];
    let recipe = scratch.recipe(&inside).unwrap();
    assert_eq!(recipe.teacher.unwrap().cache.unwrap().path, Some(path));

    let inside = format!(
        "teacher.cache.path={}",
        scratch.0.path().join("mine").display()
    );
    let set = [set[0], &inside, "train.epochs=1"];
    scratch.run("first", 1, &set);
    let Err(error) = scratch.start("other", 1, &[&set[..], &["seed=2"]].concat()) else {
        panic!("accepted");
    };
    let message = error.to_string();
    for part in [
        "mine: is a cache of something else",
        "SHA-256 of the teacher's weights",
        "delete it",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn the_resolved_recipe_has_every_default() {
    let scratch = Scratch::new();
    let text = scratch
        .recipe(&["teacher.cache={}"])
        .unwrap()
        .to_toml()
        .unwrap();
    let table: toml::Table = text.parse().unwrap();
    let cache = table["teacher"]["cache"].as_table().unwrap();
    let want = "views = \"all\"\nprecision = \"f32\"\nembedding = false\nplace = \"memory\"\n";
    assert_eq!(cache.to_string(), want);
    let without = scratch.recipe(&[]).unwrap().to_toml().unwrap();
    assert!(!without.contains("[teacher.cache]"), "{without}");
    let again = scratch
        .recipe(&["teacher.cache={ views = 8, top_k = 3 }"])
        .unwrap();
    let file = scratch.0.path().join("again.toml");
    std::fs::write(&file, again.to_toml().unwrap()).unwrap();
    assert_eq!(Recipe::load(&file, &[]).unwrap(), again);
}

/// Overrides of a recipe with the weights of a teacher that an earlier run has trained, and its answers in a file.
fn trained(scratch: &Scratch) -> [String; 3] {
    scratch.run("earlier", 1, &["train.epochs=1"]);
    let weights = scratch.out("earlier/checkpoints/teacher-seed1.safetensors");
    [
        format!("teacher.weights={}", weights.display()),
        "teacher.train=".into(),
        FILE.into(),
    ]
}

/// Stops after some batches.
struct Stops(usize);

impl Observer for Stops {
    fn event(&mut self, event: Event<'_>) {
        if matches!(event, Event::Asked { .. }) {
            self.0 -= 1;
        }
    }

    fn stop(&self) -> bool {
        self.0 == 0
    }
}

#[test]
fn a_teacher_that_was_asked_in_parts_beforehand_is_asked_no_more() {
    let scratch = Scratch::new();
    let overrides = trained(&scratch);
    let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
    let asks = |folder: &str, work: AnswerWork, observer: &mut dyn Observer| {
        let options = options(scratch.out(folder), 2);
        let recipe = scratch.recipe(&overrides)?;
        teacher_answers(&recipe, &options, &work, &Device::flex(), observer)
    };
    let part = |text: &str| AnswerWork::Ask(text.parse().unwrap());
    let all = || AnswerWork::Ask(Shard::ALL);

    let whole = asks("whole/run", all(), &mut Silent).unwrap();
    assert_eq!(whole.answers, whole.new);
    assert_eq!(asks("whole/run", all(), &mut Silent).unwrap().new, 0);

    // Three parts, one of which is interrupted.
    let mut pieces = Vec::new();
    for text in ["1/3", "2/3", "3/3"] {
        if text == "2/3" {
            let stopped = asks("parts/run", part(text), &mut Stops(6)).unwrap_err();
            let text = stopped.to_string();
            assert!(text.contains("2-of-3 keeps"), "{text}");
        }
        pieces.push(asks("parts/run", part(text), &mut Silent).unwrap());
    }
    let answers: Vec<usize> = pieces.iter().map(|piece| piece.answers).collect();
    assert_eq!(answers.iter().sum::<usize>(), whole.answers);
    assert!(answers.iter().all(|&answers| answers > whole.answers / 4));
    let files: Vec<PathBuf> = pieces.into_iter().map(|piece| piece.file).collect();
    let merge = || AnswerWork::Merge(files.clone());
    let merged = asks("parts/run", merge(), &mut Silent).unwrap();
    assert_eq!((merged.answers, merged.bytes), (whole.answers, whole.bytes));
    assert_eq!(asks("parts/run", merge(), &mut Silent).unwrap().new, 0);

    let plain = scratch.run("plain", 2, &overrides[..2]);
    for folder in ["whole/run", "parts/run"] {
        let run = scratch.run(folder, 2, &overrides);
        assert_eq!(run.losses, plain.losses, "{folder}");
        assert_eq!(run.stats(), (2 * 4 * 52, 0), "{folder}");
    }

    let missing = AnswerWork::Merge(vec![scratch.out("nowhere")]);
    let error = asks("parts/run", missing, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("nowhere: is no file"), "{error}");
    let foreign = AnswerWork::Merge(vec![scratch.out("earlier/recipe.toml")]);
    let error = asks("parts/run", foreign, &mut Silent).unwrap_err();
    assert!(
        error.to_string().contains("is not a teacher cache"),
        "{error}"
    );
}

#[test]
fn a_few_views_are_asked_once_for_all_seeds() {
    let scratch = Scratch::new();
    let overrides = trained(&scratch);
    let views = "teacher.cache.views=2";
    let mut overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
    overrides.push(views);
    let options = options(scratch.out("run"), 2);
    let recipe = scratch.recipe(&overrides).unwrap();
    let mut batches = Notes::default();
    let all = AnswerWork::Ask(Shard::ALL);
    let found = teacher_answers(&recipe, &options, &all, &Device::flex(), &mut batches).unwrap();
    // Two epochs of four batches.
    assert_eq!(batches.1, 8);
    let run = scratch.run("run", 2, &overrides);
    assert_eq!(run.stats(), (2 * 4 * 52, 0));
    assert_eq!(run.summary.cache.unwrap().answers, found.answers as u64);
}

#[test]
fn a_teacher_that_cannot_be_asked_beforehand_is_refused_with_the_cure() {
    let scratch = Scratch::new();
    let weights = "teacher.weights=teacher.safetensors";
    for (overrides, part) in [
        (&[FILE][..], "set teacher.weights"),
        (
            &[weights, "teacher.train=", EXACT],
            "set teacher.cache.place = \"file\"",
        ),
        (
            &[weights, "teacher.train="],
            "set teacher.cache.place = \"file\"",
        ),
        (
            &["teacher=", "objective.kd=", "objective.rkd="],
            "there is no [teacher]",
        ),
    ] {
        let recipe = scratch.recipe(overrides).unwrap();
        let options = options(scratch.out("run"), 1);
        let all = AnswerWork::Ask(Shard::ALL);
        let found = teacher_answers(&recipe, &options, &all, &Device::flex(), &mut Silent);
        let error = found.unwrap_err().to_string();
        assert!(error.contains(part), "{error}, without {part}");
    }
    assert!(!scratch.out("teacher-cache").exists());
}
