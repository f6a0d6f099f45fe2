//! How a run shares its trainings with other processes, which may be on other machines.

use std::path::PathBuf;
use std::sync::Arc;

use kd_store::{AnyStore, Archive, Leases};

use crate::study::Shared;
use crate::{Error, Event, Observer};

/// Work that this process does and no other.
pub(crate) type Held = kd_store::Held<AnyStore>;

/// What a run shares.
#[derive(Clone, Default)]
pub(crate) struct Sharing {
    /// The folder of finished trainings; the one beside the run folder where none is named.
    pub finished: Option<PathBuf>,
    /// Where finished trainings are for all, and that folder has copies.
    pub archive: Option<Archive>,
    /// Who does which training.
    pub leases: Option<Arc<Leases<AnyStore>>>,
    /// The only seed that is trained; none for all.
    pub seed: Option<u64>,
}

impl Sharing {
    /// What is finished is shared, and nothing else.
    pub fn of_finished(shared: Option<&Shared>) -> Result<Self, Error> {
        Ok(Self {
            finished: shared.map(Shared::finished),
            archive: shared.map(Shared::archive).transpose()?.flatten(),
            ..Self::default()
        })
    }
}

/// An observer that also stops when work is lost.
pub(crate) struct UntilLost<'a, O: ?Sized> {
    pub observer: &'a mut O,
    pub held: Option<&'a Held>,
}

impl<O: Observer + ?Sized> Observer for UntilLost<'_, O> {
    fn event(&mut self, event: Event<'_>) {
        self.observer.event(event);
    }

    fn stop(&self) -> bool {
        self.observer.stop() || self.held.is_some_and(Held::lost)
    }

    fn measures(&self) -> bool {
        self.observer.measures()
    }
}
