//! The files that stages write, and how large networks are as files.

use std::path::Path;

use kd_export::Onnx;

use super::RunContext;
use super::trained::{Done, TrainedNetwork};
use crate::onnx::size;
use crate::recipe::{ExportConfig, Start, TrainingPlan};
use crate::summary::{ExportedFile, FileSize};
use crate::task::Task;
use crate::{Error, Event, Observer, Role};

impl<T: Task> RunContext<'_, T> {
    /// Writes the file of a stage into the run folder.
    pub(super) fn export(
        &self,
        plan: &TrainingPlan,
        done: &Done<T::Network>,
        out: &Path,
        observer: &mut dyn Observer,
    ) -> Result<ExportedFile, Error> {
        let (Role::Stage(name), Start::Stage(of)) = (plan.role(), &plan.students[0].start) else {
            return Err(Error::Recipe(
                "a stage with do = \"export\" needs `start`".into(),
            ));
        };
        let in_stage = |problem: String| Error::Recipe(format!("stages.{name}: {problem}"));
        let onnx = self.task.onnx(&done[of], &plan.export);
        let onnx = onnx.map_err(|problem| in_stage(problem.to_string()))?;
        if let Some(program) = plan.export.check {
            program.accepts(&onnx).map_err(in_stage)?;
        }
        let file = format!("{name}.onnx");
        let path = out.join(&file);
        onnx.save(&path)
            .map_err(|problem| in_stage(problem.to_string()))?;
        let exported = ExportedFile {
            file,
            of: of.clone(),
            size: size(&onnx),
            difference: onnx.difference(),
        };
        observer.event(Event::Note(&format!(
            "stage {name}: {} holds {of} in {} bytes; its largest difference from the network is {:.1e}",
            path.display(),
            exported.size.bytes,
            exported.difference
        )));
        Ok(exported)
    }

    /// The size of a network as ONNX and the bytes of its activations, in a recipe that prunes or quantises; none where it has
    /// no such file.
    pub(super) fn as_onnx(
        &self,
        trained: &TrainedNetwork<T::Network>,
    ) -> (Option<FileSize>, Option<u64>) {
        let onnx = match self.recipe.compresses() {
            true => self
                .task
                .onnx(&trained.network, &ExportConfig::default())
                .ok(),
            false => None,
        };
        let onnx = onnx.as_ref();
        (onnx.map(size), onnx.map(Onnx::activations))
    }
}
