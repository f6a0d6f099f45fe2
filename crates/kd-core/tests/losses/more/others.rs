//! Several teachers, contrast, relations, and what is made of losses.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;
use kd_core::balance;
use kd_core::terms::camkd::CaMkdConfig;
use kd_core::terms::cc::{self, CcConfig, CcKernel};
use kd_core::terms::crd::CrdConfig;
use kd_core::terms::cross_entropy::cross_entropy;
use kd_core::terms::kd::kd;
use kd_core::{Combine, CombineRule, Error, Output, Pair, Part, Taps, Targets};

use super::super::case::{Answer, Case, numbers};
use super::super::parameters::{load, name};
use super::features::connector;
use super::{average, classify, labelled, network, step};

pub fn camkd(case: &Case) -> Result<Answer, Error> {
    let student_map: Tensor<4> = case.tensor("student");
    let members: Vec<Output> = (0..)
        .zip(case.tensors::<4>("teacher"))
        .map(|(k, map)| {
            let mut teacher = network(std::slice::from_ref(&map));
            let weight = case.tensor(&format!("weight{k}"));
            let bias = case.tensor(&format!("bias{k}"));
            classify(&mut teacher, average(map), weight, bias);
            teacher
        })
        .collect();
    let count = members.len();
    let mut student = network(&[student_map]);
    student.logits = members[0].logits.zeros_like();
    let mut teacher = Output::new(members[0].logits.clone());
    teacher.members = members;
    let term = CaMkdConfig::default().init(&student, Some(&teacher), case.device)?;
    let names = (0..count)
        .flat_map(|k| {
            connector(
                &format!("connectors.{k}"),
                &format!("embed{k}.transfer.0"),
                &format!("embed{k}.transfer.1"),
            )
        })
        .collect();
    let (term, adapters) = load(term, names, case);
    let run = |pair: &Pair| -> Result<_, Error> {
        Ok((term.forward(pair, &step(1))?, term.weights(pair)?))
    };
    let (loss, weights) = labelled(&student, &teacher, case.labels(), run)?;
    let answer = Answer {
        adapters: Some(adapters),
        ..Answer::new(loss)
    };
    Ok(answer.with_value("weights", numbers(weights)))
}

pub fn camkd_logits(case: &Case) -> Result<Answer, Error> {
    let temperature = case.param("temperature");
    let combine = Combine {
        rule: CombineRule::Confidence,
        temperature,
    };
    let teachers = case.tensors("teacher").into_iter().map(Output::new);
    let teacher = combine.apply(teachers.collect(), &case.labels())?;
    let loss = kd(case.tensor("student"), teacher.logits, temperature)?;
    Ok(Answer::new(loss))
}

pub fn uncertainty(case: &Case) -> Result<Answer, Error> {
    let losses: Tensor<1> = case.tensor::<1>("losses") + case.param("plus");
    let variances: Tensor<1> = case.tensor("log_variances");
    let [count] = losses.dims();
    let terms = (0..count).map(|i| {
        let of = |values: &Tensor<1>| values.clone().narrow(0, i, 1);
        balance::uncertainty(of(&losses), of(&variances))
    });
    let zero = case.zeros([1]);
    Ok(Answer::new(terms.fold(zero, |sum, term| sum + term)))
}

pub fn dml(case: &Case) -> Result<Answer, Error> {
    let combine = Combine {
        rule: CombineRule::Average,
        temperature: 1.0,
    };
    let peers = case.tensors("peer").into_iter().map(Output::new);
    let peers = combine.apply(peers.collect(), &case.labels())?;
    let student = case.tensor("student");
    let labelled = cross_entropy(case.tensor("student"), case.labels(), 0.0)?;
    Ok(Answer::new(labelled + kd(student, peers.logits, 1.0)?))
}

pub fn takd(case: &Case) -> Result<Answer, Error> {
    let share = case.param("lambda");
    let labelled = cross_entropy(case.tensor("student"), case.labels(), 0.0)?;
    let taught = kd(
        case.tensor("student"),
        case.tensor("teacher"),
        case.param("temperature"),
    )?;
    Ok(Answer::new(labelled * (1.0 - share) + taught * share))
}

pub fn cc(case: &Case) -> Result<Answer, Error> {
    let config = CcConfig {
        kernel: match case.name.as_str() {
            "cc_bilinear" => CcKernel::Bilinear,
            _ => CcKernel::Rbf,
        },
        gamma: case.param("gamma"),
        order: case.param("order") as usize,
    };
    let (student, teacher) = (case.tensor("student"), case.tensor("teacher"));
    Ok(Answer::new(cc::cc(student, teacher, &config)?))
}

/// Two batches of the training path, with banks and negatives from the file.
pub fn crd(case: &Case) -> Result<Answer, Error> {
    let embeddings = |batch: usize| {
        ["student", "teacher"].map(|who| {
            let embedding: Tensor<2> = case.tensor(&format!("{who}{batch}"));
            let mut output = Output::new(embedding.zeros_like());
            output.push(Part::Embedding, &embedding, &Taps::all());
            output
        })
    };
    let [student, teacher] = embeddings(0);
    let (_, widths) = case.parameter("embed_s.linear.weight");
    let config = CrdConfig {
        dim: widths[0],
        negatives: case.indices("negatives0").len(),
        temperature: case.param("temperature"),
        momentum: case.param("momentum"),
        samples: case.param("samples") as usize,
        ..CrdConfig::default()
    };
    let term = config.init(&student, Some(&teacher), case.device)?;
    let names = vec![
        name("of_student", "embed_s.linear"),
        name("of_teacher", "embed_t.linear"),
    ];
    let (term, adapters) = load(term, names, case);
    let term = term.map(&mut Banks {
        path: Vec::new(),
        case,
    });
    let mut losses = Vec::new();
    for batch in 0..2 {
        let [student, teacher] = embeddings(batch);
        let indices = case.indices(&format!("index{batch}"));
        // Every sample is of a class of its own, so that no negative is left out.
        let labels = case.ints(&format!("index{batch}"), None);
        let targets = Targets::labels(labels);
        let pair = Pair {
            student: &student,
            teacher: Some(&teacher),
            targets: &targets,
            indices: Some(&indices),
        };
        let negatives = case.indices(&format!("negatives{batch}"));
        losses.push(term.forward_with_negatives(&pair, &negatives)?);
    }
    let mut seen = Seen::default();
    term.visit(&mut seen);
    let [first, second] = [losses[0].clone(), losses[1].clone()];
    let answer = Answer {
        adapters: Some(adapters),
        ..Answer::new(first.clone() + second.clone())
    };
    let log_z = seen.of("constants");
    // The file shows the rows of both batches, in their order.
    let rows = ["index0", "index1"].map(|name| case.indices(name)).concat();
    let shown = |bank: &str| {
        let bank = seen.of(bank);
        let row = |&row: &usize| bank[row * widths[0]..][..widths[0]].to_vec();
        rows.iter().flat_map(row).collect::<Vec<f64>>()
    };
    Ok(answer
        .with_value("first", numbers(first))
        .with_value("second", numbers(second))
        .with_value("Z_student", vec![log_z[1].exp()])
        .with_value("Z_teacher", vec![log_z[2].exp()])
        .with_value("bank_student", shown("student"))
        .with_value("bank_teacher", shown("teacher")))
}

/// Puts the file's banks, with rows of length 1, in the place of a term's.
struct Banks<'a> {
    path: Vec<String>,
    case: &'a Case<'a>,
}

impl ModuleMapper for Banks<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let [.., module, side] = self.path.as_slice() else {
            return param;
        };
        if module != "memory" || !["student", "teacher"].contains(&side.as_str()) {
            return param;
        }
        let rows: Tensor<D> = self.case.tensor(&format!("bank_{side}"));
        let rows = rows.clone() / rows.square().sum_dim(1).sqrt();
        param.map(|_| rows)
    }

    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}

/// What a term's memory holds.
#[derive(Default)]
struct Seen {
    path: Vec<String>,
    buffers: Vec<(String, Vec<f64>)>,
}

impl Seen {
    fn of(&self, name: &str) -> Vec<f64> {
        let found = self.buffers.iter().find(|(known, _)| known == name);
        found.expect("a buffer of the memory").1.clone()
    }
}

impl ModuleVisitor for Seen {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let [.., module, name] = self.path.as_slice()
            && module == "memory"
        {
            self.buffers.push((name.clone(), numbers(param.val())));
        }
    }

    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}
