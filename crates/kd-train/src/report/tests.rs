use super::fake::Fake;
use super::*;
use crate::ClassFound;
use crate::records::{ComponentValue, Record};

fn times(page: &str, part: &str) -> usize {
    page.matches(part).count()
}

#[test]
fn a_full_run_shows_every_section() {
    let page = Fake::new(10, 3, 5, 20).page();
    assert!(page.contains("gained the student +2.60 points (mean of 3 seeds, ± 0.30): 70.50 % alone, 73.10 % distilled."));
    assert!(!page.contains("class=\"caveat\"") && page.contains("This difference is shown: "));
    assert!(page.contains("0123456789abcdef<") && page.contains("45,000 training"));
    assert!(page.contains("<td>7,433,860</td><td>1,233,540</td>"));
    assert!(page.contains("73.10 ±\u{a0}0.70\u{a0}%"));
    assert!(page.contains("mean of 3 seeds</small>"));
    // Accuracy, validation loss, loss, contributions, norms of the components' gradients for both
    // students, ce, kd, rate, norm, speed.
    assert_eq!(times(&page, "<figure class=\"plot\""), 11);
    assert!(page.contains("Teacher, test split"));
    assert_eq!(times(&page, "<figure class=\"sample\""), 4);
    assert_eq!(times(&page, "class=\"bars\""), 2);
    // Nobody has diagnosed it.
    assert_eq!(times(&page, "class=\"absent\""), 1);
    assert!(page.contains("This run was not diagnosed"));
    assert!(page.contains("# &lt;small&gt; &amp; fast"));
    assert!(page.contains("kd train recipe.toml --device flex --seeds 3<"));
}

#[test]
fn what_was_measured_of_deployed_networks_is_shown() {
    let folder = Fake::new(10, 1, 2, 5).folder();
    let page = || {
        let path = write(folder.path()).unwrap();
        std::fs::read_to_string(path).unwrap()
    };
    assert!(!page().contains("id=\"deployed\""));
    let row = |network, median: f64| {
        serde_json::json!({
            "network": network, "runtime": "kd", "threads": 1, "batch": 1,
            "median_ms": median, "p95_ms": 2.0 * median, "images_per_second": 1e3 / median,
        })
    };
    let network =
        |name| serde_json::json!({ "name": name, "file_bytes": 1_500_000, "peak_bytes": null });
    let measured = serde_json::json!({
        "networks": [network("student"), network("teacher")],
        "rows": [row("student", 0.5), row("teacher", 1.7)],
    });
    let path = folder.path().join("deploy.json");
    std::fs::write(&path, measured.to_string()).unwrap();
    let page = page();
    assert!(page.contains("in 0.5 ms and the teacher in 1.7 ms: it is 3.4 times as fast, and its test top-1 is 6 points worse."));
    assert!(page.contains("One image, one thread") && page.contains("1.5 MB"));
    assert!(page.contains("style=\"--w:29.41%\"") && page.contains("style=\"--w:100.0%\""));
    std::fs::write(&path, "{").unwrap();
    let problem = write(folder.path()).unwrap_err().to_string();
    assert!(
        problem.contains("deploy.json") && problem.contains("delete the file"),
        "{problem}"
    );
}

/// A class of so many small and large objects, found down to a recall with a precision that falls.
fn found(objects: [usize; 2], recall: usize, seed: u64) -> ClassFound {
    let [small, large] = objects;
    let curve = |least: f64| {
        (0..=100)
            .map(|at| {
                if at > recall {
                    0.0
                } else {
                    100.0 - least * at as f64 + seed as f64
                }
            })
            .collect()
    };
    let ap = |objects: usize| (objects > 0).then_some(recall as f64 / 2.0 + seed as f64);
    match small + large {
        0 => ClassFound::default(),
        all => ClassFound {
            objects: [all, small, 0, large],
            ap: [ap(all), ap(small), None, ap(large)],
            precision: [curve(0.2), curve(0.6)],
        },
    }
}

#[test]
fn found_objects_have_curves_and_a_table() {
    let mut fake = Fake::new(3, 2, 2, 5);
    assert!(!fake.page().contains("id=\"objects\""));
    for network in &mut fake.summary.networks {
        let recall = match network.role {
            Role::Teacher => 80,
            Role::Baseline => 40,
            _ => 60,
        };
        let seed = network.seed.unwrap_or(0);
        let classes = [[30, 900], [0, 7], [0, 0]];
        network.test.found = classes.map(|objects| found(objects, recall, seed)).into();
    }
    let page = fake.page();
    let section = page.split("id=\"objects\"").nth(1).unwrap();
    let section = section.split("</section>").next().unwrap();
    // The mean and both classes that have objects, each at two overlaps.
    assert_eq!(times(section, "<figure class=\"plot\""), 6);
    assert!(section.contains("Mean of 2 classes, IoU 0.50"));
    assert!(section.contains("kind 1, IoU 0.75") && !section.contains("kind 2, IoU"));
    assert_eq!(times(section, "&quot;y&quot;:[0.0,102.0]"), 6);
    // Two seeds of both students have bands.
    assert_eq!(times(section, "<polygon"), 12);
    // The mean of seeds 0 and 1, and a dash for a class that is not there.
    assert!(section.contains("<td>930</td><td>40.00<"), "{section}");
    assert!(section.contains("<th scope=\"row\">small</th><td>30</td>"));
    assert!(!section.contains("medium</th>"));
    assert!(section.contains("kind 2</th><td>0</td><td>–<"));
    assert!(section.contains("<td>20.50<") && section.contains("<td>30.50<"));

    let many = |network: &mut crate::NetworkSummary| {
        network.test.found = (1..=20).map(|objects| found([objects, 1], 50, 0)).collect();
    };
    fake.summary.networks.iter_mut().for_each(many);
    let page = fake.page();
    assert!(page.contains("The 6 classes of 20 with the most objects"));
    assert!(page.contains("class 14, IoU 0.50") && !page.contains("class 13, IoU 0.50"));
    assert!(page.contains("All 60 rows"));
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let mut fake = Fake::new(10, 1, 2, 5);
    let sample = &mut fake.summary.temperature.as_mut().unwrap().samples[0];
    sample.image = "https://example.org/image.png".into();
    let page = fake.page();
    let page = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!page.contains("http"));
    assert_eq!(times(&page, "<img src=\"data:image"), 3);
}

#[test]
fn names_cannot_become_markup() {
    let mut fake = Fake::new(3, 1, 2, 5);
    fake.summary.name = "<script>alert(1)</script>".into();
    fake.summary.data.classes[1] = "a\" onload=\"x<b>".into();
    for record in &mut fake.records {
        if let Record::Step(step) = record {
            let value = ComponentValue {
                gradient_norm: None,
                value: 1.0,
                weight: 1.0,
            };
            step.components.insert("<img>".into(), value);
        }
        if let Record::Epoch(epoch) = record {
            epoch.components.insert("<img>".into(), 1.0);
        }
    }
    let page = fake.page();
    assert_eq!(times(&page, "<script>"), 1);
    assert!(!page.contains("<img>") && !page.contains("<b>") && !page.contains("\" onload=\""));
    assert!(page.contains("Component &lt;img&gt;"));
}

#[test]
fn many_classes_show_the_ends_and_fold_the_rest() {
    let page = Fake::new(100, 1, 2, 5).page();
    assert_eq!(times(&page, "All 100 classes"), 2);
    assert_eq!(times(&page, "<span class=\"track\">"), 2 * (20 + 100));
}

#[test]
fn verdicts_are_those_of_the_statistics() {
    // The sentences of a page have no markup but these.
    let page = |fake: &Fake| fake.page().replace("&#x2f;", "/").replace("&#x27;", "'");
    let mut fake = Fake::new(10, 1, 2, 5);
    let one = page(&fake);
    assert!(one.contains("Distillation gained the student +2.30 points: 70.10 % alone"));
    assert!(one.contains("<p class=\"caveat\">This is one seed: the difference is larger than the 1.25 points that chance among 10,000 test images explains"), "{one}");

    let mut alone = |top1: f64| {
        let baseline = |n: &&mut crate::NetworkSummary| n.role == Role::Baseline;
        let network = fake.summary.networks.iter_mut().find(baseline).unwrap();
        network.test.list[0].value = top1;
        page(&fake)
    };
    assert!(alone(91.5).contains("Distillation cost the student 19.10 points"));
    let close = alone(72.0);
    assert!(close.contains("Distillation shows no difference: +0.40 points"));
    assert!(close.contains("it may be chance"));

    // The same sentence as in a study.
    let fake = Fake::new(10, 3, 2, 5);
    let verdict = fake.summary.verdict().unwrap();
    assert!(page(&fake).contains(&verdict.sentence()));
}

#[test]
fn a_bad_teacher_is_the_reason() {
    let mut fake = Fake::new(10, 2, 2, 5);
    assert!(!fake.page().contains("the teacher has"));
    let mut page = |teacher: f64, distilled: f64| {
        for network in &mut fake.summary.networks {
            match network.role {
                Role::Teacher => network.test.list[0].value = teacher,
                Role::Distilled => network.test.list[0].value = distilled,
                _ => {}
            }
        }
        fake.page()
    };
    let chance = page(10.5, 50.0);
    let why = "<strong>Why:</strong> the teacher has 10.50 % test top-1 (10,000 images), near chance (10.00 % with 10 classes)";
    assert!(chance.contains(why) && chance.contains("data.normalize"));
    let below = page(60.0, 65.0);
    let why = "<strong>Why:</strong> the teacher has 60.00 % test top-1 (10,000 images), less than the student alone, 70.30 %";
    assert!(below.contains(why));
    assert_eq!(times(&below, "the teacher has"), 1);
    // What it costs is not the reason of a gain.
    let gained = page(60.0, 75.0);
    assert!(
        gained.contains("<strong>Note:</strong> the teacher has"),
        "{gained}"
    );
}

#[test]
fn a_student_without_a_teacher_says_what_is_left_out() {
    let mut fake = Fake::new(10, 1, 3, 5);
    fake.summary.networks.retain(|a| a.role == Role::Baseline);
    fake.summary.gain = None;
    fake.summary.temperature = None;
    fake.records
        .retain(|r| matches!(r, Record::Step(s) if s.role == Role::Baseline));
    let page = fake.page();
    assert!(page.contains("trained on labels only"));
    assert!(page.contains("has no teacher whose softmax"));
    assert!(!page.contains("T = "));
    assert!(page.contains("no classes are compared"));
    assert!(!page.contains("weight × value"));
}

#[test]
fn a_run_without_records_or_networks_is_still_a_page() {
    let mut fake = Fake::new(10, 1, 1, 1);
    fake.records.clear();
    fake.summary.temperature.as_mut().unwrap().samples.clear();
    let page = fake.page();
    assert!(page.contains("metrics.jsonl holds no records"));
    assert!(page.contains("no test image that the teacher classifies right"));
    fake.summary.networks.clear();
    fake.summary.gain = None;
    assert!(fake.page().contains("This run measured no network."));
}

#[test]
fn epochs_stand_in_for_steps_that_were_not_logged() {
    let mut fake = Fake::new(10, 1, 1, 4);
    fake.records.retain(|r| matches!(r, Record::Epoch(_)));
    let page = fake.page();
    assert!(page.contains("Component ce") && page.contains("Learning rate"));
    assert!(!page.contains("Gradient norm"));
}

#[test]
fn missing_and_broken_files_name_themselves_and_the_cure() {
    for name in ["metrics.jsonl", "recipe.toml"] {
        let folder = Fake::new(3, 1, 1, 2).folder();
        std::fs::remove_file(folder.path().join(name)).unwrap();
        let message = write(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains(name) && message.contains("kd train"),
            "{message}"
        );
        assert!(!folder.path().join("report.html").exists());
    }
    let folder = Fake::new(3, 1, 1, 2).folder();
    std::fs::write(folder.path().join("summary.json"), "{}").unwrap();
    let message = write(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("summary.json: not the summary of a run"),
        "{message}"
    );
}

#[test]
fn a_run_without_results_shows_its_metrics_and_says_so() {
    let folder = Fake::new(10, 2, 4, 5).folder();
    std::fs::remove_file(folder.path().join("summary.json")).unwrap();
    let page = std::fs::read_to_string(write(folder.path()).unwrap()).unwrap();
    for part in [
        "<h1>fake</h1>",
        "This run is not finished: 4 trainings have records.",
        "still running, or it was stopped",
        "Validation top-1",
        "Student distilled",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(
        !page.contains("Measured on the test split, which selected")
            && !page.contains("id=\"classes\"")
    );
    // Stopped before its first record.
    std::fs::write(folder.path().join("metrics.jsonl"), "").unwrap();
    let page = std::fs::read_to_string(write(folder.path()).unwrap()).unwrap();
    assert!(page.contains("no training has a record yet"));
    // No run at all.
    std::fs::remove_file(folder.path().join("metrics.jsonl")).unwrap();
    let message = write(folder.path()).unwrap_err().to_string();
    assert!(message.contains("summary.json"), "{message}");
}

#[test]
fn only_an_unfinished_last_line_is_forgiven() {
    let folder = Fake::new(3, 1, 1, 2).folder();
    let path = folder.path().join("metrics.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{{\"kind\":\"step\",\"ar")).unwrap();
    write(folder.path()).unwrap();

    std::fs::write(&path, format!("{{\"kind\":\"step\",\"ar\n{whole}")).unwrap();
    let message = write(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("metrics.jsonl: line 1 is not a record"),
        "{message}"
    );
}

#[test]
fn a_repeated_step_counts_once_and_nothing_unfinished_stays() {
    let mut fake = Fake::new(3, 1, 2, 3);
    let again = fake.records.clone();
    fake.records.extend(again);
    let folder = fake.folder();
    let run = read::run_folder(folder.path()).unwrap();
    assert_eq!(run.trainings[&(Role::Baseline, 0)].steps.len(), 6);
    write(folder.path()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
}

/// Writes pages to look at: `KD_REPORTS=DIR cargo test -p kd-train report -- --ignored`.
#[test]
#[ignore = "makes pages for people, and checks nothing"]
fn pages_to_look_at() {
    let target = std::env::var("KD_REPORTS").unwrap();
    let mut spiky = Fake::new(10, 3, 30, 100);
    for record in &mut spiky.records {
        if let Record::Epoch(epoch) = record
            && (epoch.seed, epoch.epoch) == (1, 12)
        {
            epoch.validation[1].value = 60.0;
        }
    }
    let mut bad_teacher = Fake::new(10, 2, 20, 40);
    bad_teacher.summary.networks[0].test.list[0].value = 11.3;
    for (name, fake) in [
        ("c10-s3", spiky),
        ("c100-s1", Fake::new(100, 1, 240, 400)),
        ("one-epoch", Fake::new(10, 1, 1, 12)),
        ("bad-teacher", bad_teacher),
    ] {
        let folder = Path::new(&target).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        fake.fill(&folder);
        write(&folder).unwrap();
    }
}
