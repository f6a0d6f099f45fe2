//! The cases of `pruning.json`.

use std::collections::{BTreeMap, BTreeSet};

use kd_compress::prune::{
    Cost, Criterion, Data, Group, NetworkPruning, Normalise, Parameters, Ranking, Reduce, Scope,
    Score, plan,
};
use kd_goldens::{Comparison, Report};
use serde_json::Value;

use super::case::{Case, list, number, text};

const FILE: &str = "pruning.json";
/// Relative tolerance of scores from values in double precision. PyTorch has the distances of FPGM from products, in which
/// alike filters lose half of the digits; the largest difference of all is 8e-9.
const EXACT: f64 = 1e-8;
/// Relative tolerance of what single precision computes.
const SINGLE: f64 = 1e-4;

fn each(run: impl Fn(&Case, &NetworkPruning, &mut Comparison)) {
    let golden = kd_goldens::read(FILE);
    let mut report = Report::new(FILE, &[]);
    for json in list(&golden["cases"]) {
        report.case(text(&json["name"]), |found| {
            let case = Case::read(json);
            let pruning = case.pruning();
            run(&case, &pruning, found);
        });
    }
    report.finish();
}

pub fn groups() {
    each(|case, pruning, found| {
        let golden = list(&case.json["groups"]);
        let groups = &pruning.structure.groups;
        let names = || {
            groups
                .iter()
                .map(|g| g.name())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let (got, want) = (groups.len() as f64, golden.len() as f64);
        found.close("groups", got, want, EXACT, 0.0);
        if got != want {
            found.fail(format!("{got} groups instead of {want}: {}", names()));
        }
        for golden in golden {
            let (parameter, axis) = case.root(golden, pruning);
            let Some(index) = pruning.structure.group_of(&parameter, axis) else {
                found.fail(format!("no group has {parameter}:{axis}: {}", names()));
                continue;
            };
            let group = &groups[index];
            let channels = case.channels(golden, pruning);
            let mut seen = 0;
            for (unit, own) in group.root().units.iter().enumerate() {
                let want: BTreeSet<_> = own.iter().flat_map(|c| channels[*c].clone()).collect();
                let got = group.members.iter().flat_map(|member| {
                    let units = member.units[unit].iter();
                    units.map(|index| (member.parameter.clone(), member.axis, *index))
                });
                let got: BTreeSet<_> = got.collect();
                seen += own.len();
                if got != want {
                    let more: Vec<_> = got.difference(&want).take(4).collect();
                    let less: Vec<_> = want.difference(&got).take(4).collect();
                    let name = group.name();
                    found.fail(format!(
                        "{name} {unit}: too much {more:?}, too little {less:?}"
                    ));
                }
            }
            found.close("channels", seen as f64, channels.len() as f64, EXACT, 0.0);
        }
        let Cost { parameters, macs } = pruning.structure.cost();
        let golden = |key: &str| case.json[key].as_f64().expect("a number");
        found.close(
            "parameters",
            parameters as f64,
            golden("params"),
            EXACT,
            0.0,
        );
        found.close("macs", macs as f64, golden("macs"), EXACT, 0.0);
    });
}

fn score(name: &str) -> Option<Score> {
    let magnitude = |power| Score::by(Criterion::Magnitude { power });
    Some(match name {
        "l1" => magnitude(1),
        "l2" => magnitude(2),
        "l2_raw_sum" => Score {
            reduce: Reduce::Sum,
            normalise: Normalise::None,
            ..magnitude(2)
        },
        "l1_first" => Score {
            reduce: Reduce::First,
            normalise: Normalise::None,
            ..magnitude(1)
        },
        "l2_max" => Score {
            reduce: Reduce::Max,
            normalise: Normalise::Mean,
            ..magnitude(2)
        },
        "lamp" => Score {
            normalise: Normalise::Lamp,
            ..magnitude(2)
        },
        "bn_scale" => Score::by(Criterion::BatchNormScale),
        "fpgm" => Score::by(Criterion::GeometricMedian { power: 2 }),
        "fpgm_p1" => Score::by(Criterion::GeometricMedian { power: 1 }),
        "taylor" => Score::by(Criterion::Taylor {
            multivariable: false,
        }),
        "taylor_multivariable" => Score::by(Criterion::Taylor {
            multivariable: true,
        }),
        "hessian" => Score::by(Criterion::Hessian),
        _ => return None,
    })
}

pub fn scores() {
    each(|case, pruning, found| {
        let criteria = case.json["importance"].as_object().expect("criteria");
        let wanted = criteria.keys().filter_map(|name| score(name));
        let derived = wanted
            .into_iter()
            .any(|score| score.criterion.wants_gradients());
        let gradients = derived.then(|| case.gradients(pruning));
        for (name, wanted) in criteria {
            let Some(score) = score(name) else {
                found.fail(format!("the criterion {name} is not known"));
                continue;
            };
            let data =
                Data {
                    parameters: &pruning.parameters,
                    gradients: gradients.as_ref().map(|(mean, squares)| {
                        if name == "hessian" { squares } else { mean }
                    }),
                };
            for (golden, want) in list(&case.json["groups"]).iter().zip(list(wanted)) {
                let (parameter, axis) = case.root(golden, pruning);
                let Some(index) = pruning.structure.group_of(&parameter, axis) else {
                    found.fail(format!("no group has {parameter}:{axis}"));
                    continue;
                };
                let mut group = pruning.structure.groups[index].clone();
                if score.reduce == Reduce::Max {
                    last_of_layers(&mut group);
                }
                let got = score.channels(&group, data);
                let what = format!("{name} of {parameter}");
                compare(&what, got, want, score, found);
            }
        }
    });
}

/// Of a layer that makes several outputs for a channel (queries, keys and values), Torch-Pruning's largest counts the last
/// alone: they are scattered to one place. Ours counts all of them.
fn last_of_layers(group: &mut Group) {
    let each = group.root().units[0].len();
    for member in group.members.iter_mut().filter(|member| member.is_output()) {
        for unit in &mut member.units {
            let from = unit.len() - each;
            unit.drain(..from);
        }
    }
}

fn compare(what: &str, got: Option<Vec<f64>>, want: &Value, score: Score, found: &mut Comparison) {
    let got = match (got, want.is_null()) {
        (None, true) => return,
        (Some(got), false) => got,
        (got, _) => return found.fail(format!("{what}: {got:?} instead of {want}")),
    };
    let tolerance = match score.criterion.wants_gradients() {
        true => SINGLE,
        false => EXACT,
    };
    let numbers = |key: &str| -> Vec<f64> {
        list(&want[key])
            .iter()
            .map(|v| v.as_f64().expect("a number"))
            .collect()
    };
    let (first, last) = (numbers("first"), numbers("last"));
    let mean = got.iter().sum::<f64>() / got.len() as f64;
    found.close(
        &format!("number of {what}"),
        got.len() as f64,
        number(&want["n"]) as f64,
        1e-12,
        0.0,
    );
    found.close(
        &format!("mean of {what}"),
        mean,
        want["mean"].as_f64().expect("a mean"),
        tolerance,
        1e-6,
    );
    let least = got.len().min(first.len());
    found.close_all(
        &format!("first of {what}"),
        &got[..least],
        &first,
        tolerance,
        1e-2,
    );
    let from = got.len().saturating_sub(last.len());
    found.close_all(
        &format!("last of {what}"),
        &got[from..],
        &last,
        tolerance,
        1e-2,
    );
    if score.criterion.wants_gradients() {
        return;
    }
    let mut order: Vec<usize> = (0..got.len()).collect();
    order.sort_by(|one, other| got[*one].total_cmp(&got[*other]));
    let lowest: Vec<usize> = list(&want["lowest"]).iter().map(number).collect();
    if order[..lowest.len()] != lowest[..] {
        found.fail(format!(
            "the lowest of {what} are {:?} instead of {lowest:?}",
            &order[..lowest.len()]
        ));
    }
}

pub fn plans() {
    each(|case, pruning, found| {
        for golden in list(&case.json["pruned"]) {
            pruned(case, pruning, golden, found);
        }
    });
}

fn ranking(options: &Value, name: &str) -> Ranking {
    let scope = match options["global_pruning"].as_bool() {
        Some(true) => Scope::Global,
        _ => Scope::Local,
    };
    Ranking {
        // Torch-Pruning does not bound a single step; ours is looked at below.
        round_to: options["round_to"].as_u64().map_or(1, |r| r as usize),
        // The share that Torch-Pruning was told for heads.
        heads: (name == "vit_heads").then_some(0.5),
        ..Ranking::new(scope)
    }
}

/// The share of the other channels that Torch-Pruning removes: where heads go whole, it ranks the numbers of a head along,
/// averaged over heads.
fn with_heads(pruning: &NetworkPruning, score: &Score, ratio: f64) -> f64 {
    let data = Data {
        parameters: &pruning.parameters,
        gradients: None,
    };
    let (mut numbers, mut others) = (Vec::new(), Vec::new());
    for group in &pruning.structure.groups {
        let scores = score.channels(group, data).expect("scores");
        if group.heads {
            let heads = group.len();
            let size = scores.len() / heads;
            let of = |at: usize| (0..heads).map(|head| scores[head * size + at]).sum::<f64>();
            numbers.extend((0..size).map(|at| of(at) / heads as f64));
        } else {
            others.extend(scores);
        }
    }
    let mut all = [numbers, others.clone()].concat();
    all.sort_by(f64::total_cmp);
    let goes = all.len() - (all.len() as f64 * (1.0 - ratio)) as usize;
    let below = others
        .iter()
        .filter(|score| **score <= all[goes - 1])
        .count();
    // Half a channel less, which rounds up.
    (below as f64 - 0.5) / others.len() as f64
}

fn pruned(case: &Case, pruning: &NetworkPruning, golden: &Value, found: &mut Comparison) {
    let what = text(&golden["plan"]);
    let options = &golden["options"];
    let ranking = Ranking {
        steps: number(&golden["steps"]),
        ..ranking(options, case.name)
    };
    let score = score(text(&golden["criterion"])).expect("a known criterion");
    let ratio = options["pruning_ratio"].as_f64().expect("a ratio");
    let derived = |_: &Parameters, _: &_| Some(case.gradients(pruning).0);
    let ratio = match (ranking.heads, ranking.scope) {
        (Some(_), Scope::Global) => with_heads(pruning, &score, ratio),
        _ => ratio,
    };
    let made = plan(
        &pruning.structure,
        &pruning.parameters,
        &score,
        &ranking,
        ratio,
        derived,
    );
    let made = match made {
        Ok(made) => made,
        Err(problem) => return found.fail(format!("{what}: {problem}")),
    };
    if let Some(at_most) = options["max_pruning_ratio"].as_f64() {
        let bounded = Ranking { at_most, ..ranking };
        let bounded = plan(
            &pruning.structure,
            &pruning.parameters,
            &score,
            &bounded,
            ratio,
            |_, _| None,
        );
        let bounded = bounded.expect("a plan");
        for group in &pruning.structure.groups {
            let kept = |kept: &BTreeMap<String, Vec<usize>>| {
                kept.get(&group.name()).map_or(group.len(), Vec::len)
            };
            let least = group.len() - (group.len() as f64 * at_most) as usize;
            let (got, want) = (kept(&bounded.kept), kept(&made.kept).max(least));
            found.close(
                &format!("{what}: bound of {}", group.name()),
                got as f64,
                want as f64,
                1e-12,
                0.0,
            );
        }
    }
    for group in list(&case.json["groups"]) {
        let (parameter, axis) = case.root(group, pruning);
        let count = number(&group["channels"]);
        let want = left(count, &golden["taken"][text(&group["root"])]);
        let got = made.kept.get(&format!("{parameter}:{axis}")).cloned();
        let got = got.unwrap_or_else(|| (0..count).collect());
        if got != want {
            let name = format!("{what}: of {parameter}:{axis}");
            found.fail(format!(
                "{name} {} are kept instead of {}: {got:?} {want:?}",
                got.len(),
                want.len()
            ));
        }
    }
    let shapes = made
        .cuts(&pruning.structure)
        .expect("cuts")
        .shapes(&pruning.structure.shapes);
    let wanted: BTreeMap<String, Vec<usize>> =
        serde_json::from_value::<Vec<_>>(golden["shapes"].clone())
            .expect("shapes")
            .into_iter()
            .collect();
    for (name, shape) in &shapes {
        let mut shape = shape.clone();
        if pruning.structure.is_linear(name) {
            shape.reverse();
        }
        if wanted[name] != shape {
            found.fail(format!(
                "{what}: {name} has {shape:?} instead of {:?}",
                wanted[name]
            ));
        }
    }
    let cost = made.cost(&pruning.structure).expect("a cost");
    let number = |key: &str| golden[key].as_f64().expect("a number");
    found.close(
        &format!("{what}: parameters"),
        cost.parameters as f64,
        number("params"),
        1e-12,
        0.0,
    );
    found.close(
        &format!("{what}: macs"),
        cost.macs as f64,
        number("macs"),
        1e-12,
        0.0,
    );
    match pruning.prune(&made) {
        Err(problem) => found.fail(format!("{what}: {problem}")),
        Ok(result) => {
            let got = case.logits(&result.network);
            let numbers = |key: &str| -> Vec<f64> {
                list(&golden["logits"][key])
                    .iter()
                    .map(|v| v.as_f64().expect("a number"))
                    .collect()
            };
            let (first, last) = (numbers("first"), numbers("last"));
            let size = golden["logits"]["abs_mean"].as_f64().expect("a mean");
            let ends = [(0, first), (got.len() - last.len(), last)];
            for (at, want) in ends {
                for (got, want) in got[at..].iter().zip(want) {
                    found.close(&format!("{what}: logits"), *got, want, SINGLE, size);
                }
            }
            let mean = got.iter().map(|v| v.abs()).sum::<f64>() / got.len() as f64;
            found.close(&format!("{what}: size of logits"), mean, size, SINGLE, 0.0);
        }
    }
}

/// What is left after the steps, each of which counts what was left before it.
fn left(count: usize, steps: &Value) -> Vec<usize> {
    let mut left: Vec<usize> = (0..count).collect();
    for step in steps.as_array().into_iter().flatten() {
        let taken: BTreeSet<usize> = list(step)
            .iter()
            .flat_map(|run| {
                let start = number(&run[0]);
                start..start + number(&run[1])
            })
            .collect();
        let mut place = 0;
        left.retain(|_| {
            place += 1;
            !taken.contains(&(place - 1))
        });
    }
    left
}
