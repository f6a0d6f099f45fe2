//! The words of progress, the same on bars and in plain lines.

use kd_data::Progress;
use kd_train::{EpochRecord, NetworkSummary, Role, StepRecord};

use crate::format::{bytes, count, duration, rate, short};

/// What happens to the data.
pub fn data(progress: &Progress) -> String {
    match progress {
        Progress::Download {
            file,
            received,
            total,
        } => {
            let of = total.map_or(String::new(), |total| format!(" of {}", bytes(total)));
            format!("downloading {file}: {}{of}", bytes(*received))
        }
        Progress::Reading(what) => format!("reading {what}"),
        Progress::Note(text) => text.clone(),
        Progress::Verifying(file) => format!("comparing the checksum of {file}"),
        _ => "preparing the data".into(),
    }
}

/// `student distilled, seed 1`.
pub fn who(role: &Role, seed: Option<u64>) -> String {
    let name = role.title();
    match seed {
        None => name,
        Some(seed) => format!("{name}, seed {seed}"),
    }
}

/// What begins.
pub fn started(
    role: &Role,
    seed: u64,
    model: &str,
    epochs: usize,
    steps_per_epoch: usize,
) -> String {
    format!(
        "{}: training {model} for {epochs} epochs of {steps_per_epoch} steps",
        who(role, Some(seed))
    )
}

/// `seed 1: the teacher has seen 12 of 391 batches; 1,536 answers`.
pub fn asked(seed: u64, batches: usize, of: usize, answers: usize) -> String {
    format!(
        "seed {seed}: the teacher has seen {} of {} batches; {} answers",
        count(batches as u64),
        count(of as u64),
        count(answers as u64)
    )
}

/// `loss 1.23 (cross_entropy 0.9, kd 2.1) lr 0.05, 812 images/s`.
pub fn step(record: &StepRecord) -> String {
    let components = record.components.iter().map(|(name, c)| (name, c.value));
    // Others train in the same pass.
    let who = match record.role {
        Role::Peer(_) | Role::PeerBaseline(_) => format!("{}: ", record.role.title()),
        _ => String::new(),
    };
    format!(
        "{who}{}, lr {}, {:.0} images/s",
        loss(record.loss, components),
        rate(record.lr),
        record.images_per_second
    )
}

/// What an epoch was like.
pub fn epoch(record: &EpochRecord, epochs: usize) -> String {
    let components = record.components.iter().map(|(name, value)| (name, *value));
    let mut text = format!(
        "{}, epoch {}/{epochs}: {}, lr {}, {:.0} images/s, {}",
        who(&record.role, Some(record.seed)),
        record.epoch,
        loss(record.loss, components),
        rate(record.lr),
        record.images_per_second,
        duration(record.seconds),
    );
    text.push_str(&validation(record));
    text
}

/// The score that selects, `, validation top-1 61.50 %`; nothing without one.
pub fn validation(record: &EpochRecord) -> String {
    record.validation.first().map_or(String::new(), |score| {
        format!(", validation {} {}", score.title, score.show(score.value))
    })
}

/// What a network scored.
pub fn measured(network: &NetworkSummary) -> String {
    let mut text = format!(
        "{}: {} ({} parameters)",
        who(&network.role, network.seed),
        network.model,
        count(network.parameters),
    );
    if let Some(score) = network.test.first() {
        text.push_str(&format!(
            " test {} {}",
            score.title,
            score.show(score.value)
        ));
    }
    if let Some(training) = &network.training {
        text.push_str(&format!(
            ", trained {} epochs in {}, best epoch {}",
            training.epochs,
            duration(training.seconds),
            training.best_epoch
        ));
    }
    text
}

fn loss<'a>(total: f64, components: impl Iterator<Item = (&'a String, f64)>) -> String {
    let parts: Vec<_> = components
        .map(|(name, value)| format!("{name} {}", short(value)))
        .collect();
    format!("loss {} ({})", short(total), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use kd_train::Score;

    use super::*;

    #[test]
    fn an_epoch_names_every_component() {
        let record = EpochRecord {
            role: Role::Distilled,
            seed: 1,
            epoch: 2,
            step: 40,
            loss: 1.25,
            components: [("cross_entropy".into(), 0.5), ("kd".into(), 2.0)].into(),
            lr: 0.05,
            seconds: 3.0,
            images_per_second: 812.3,
            validation: vec![
                Score::percent("top1", "top-1", 61.5),
                Score::nats("loss", "cross-entropy", 1.0),
            ],
            cache: None,
        };
        assert_eq!(
            epoch(&record, 10),
            "student distilled, seed 1, epoch 2/10: loss 1.250 (cross_entropy 0.500, kd 2.000), \
             lr 0.05, 812 images/s, 3 s, validation top-1 61.50 %"
        );
    }
}
