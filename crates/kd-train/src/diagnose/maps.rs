//! How alike the maps of two networks are.

use burn::tensor::{Device, Tensor};
use kd_core::{Levels, Output, Part, Taps};
use kd_diagnose::{Alignment, Gram, MapLevel, Similarity};
use kd_models::{Backbone, Network};

use crate::explain::gram;
use crate::source::with_all_of;
use crate::{Error, Source};

/// Images whose maps are compared.
const IMAGES: usize = 512;
/// More levels than this are blocks of a transformer, which terms match by relative depth.
const STAGES: usize = 6;

/// Linear CKA of every level of maps with every other, on the first images of a source; none where a network shows no maps.
pub(super) fn similarity(
    teacher: &Network,
    student: &Network,
    source: &dyn Source<Input = Tensor<4>>,
    device: &Device,
) -> Result<Option<Similarity>, Error> {
    let taps = Taps::levels(Part::Maps, Levels::All);
    let (mut seen, mut found) = (0, None);
    for batch in source.epoch(0, device) {
        if seen >= IMAGES {
            break;
        }
        seen += batch.len();
        let shown = [teacher, student].map(|network| network.forward(batch.input.clone(), &taps));
        let [teachers, students] = shown.each_ref().map(|output| output.levels(Part::Maps));
        if teachers == 0 || students == 0 {
            return Ok(None);
        }
        let (alignment, ..) = match &mut found {
            Some(found) => found,
            None => found.insert((
                Alignment::new(teachers, students),
                levels(&shown[0])?,
                levels(&shown[1])?,
            )),
        };
        alignment.add(&grams(&shown[0])?, &grams(&shown[1])?);
    }
    let found = with_all_of(source, found)?;
    Ok(found.map(|(alignment, teacher, student)| Similarity {
        alignment: alignment.values(),
        pairs: pairs(teacher.len(), student.len()),
        teacher,
        student,
    }))
}

fn levels(output: &Output) -> Result<Vec<MapLevel>, Error> {
    let levels = 0..output.levels(Part::Maps);
    levels
        .map(|level| {
            let [_, channels, height, width] = output.map(level)?.dims();
            Ok(MapLevel {
                level,
                shape: [channels, height, width],
            })
        })
        .collect()
}

fn grams(output: &Output) -> Result<Vec<Gram>, Error> {
    let levels = 0..output.levels(Part::Maps);
    levels
        .map(|level| Ok(gram(vec![output.map(level)?.flatten(1, 3)])))
        .collect()
}

/// The levels that terms compare, without the stems: of stages those as far from the last, of a transformer's blocks those of the
/// same relative depth.
fn pairs(teachers: usize, students: usize) -> Vec<(usize, usize)> {
    if teachers.max(students) <= STAGES {
        let both = teachers.min(students).saturating_sub(1);
        return (1..=both)
            .rev()
            .map(|back| (teachers - back, students - back))
            .collect();
    }
    let depth = |level: usize| level as f64 / (students - 1).max(1) as f64;
    (1..students)
        .map(|level| {
            (
                (depth(level) * (teachers - 1) as f64).round() as usize,
                level,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn levels_are_paired_as_terms_pair_them() {
        assert_eq!(pairs(4, 4), [(1, 1), (2, 2), (3, 3)]);
        assert_eq!(pairs(5, 4), [(2, 1), (3, 2), (4, 3)]);
        assert_eq!(pairs(13, 4), [(4, 1), (8, 2), (12, 3)]);
    }
}
