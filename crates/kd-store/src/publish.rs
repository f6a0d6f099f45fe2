//! A folder that appears whole or not at all, also where several processes make the same one at once.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::Error;
use crate::error::io;

const PREFIX: &str = "unfinished-";
/// A process fills its folder in seconds; one that none has touched for so long is a dead one's.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// A folder to fill before it is [published](publish) in `parent`, which is made where there is none. Removes those that
/// dead processes left there a day ago or earlier.
///
/// # Errors
/// When `parent` cannot be written.
pub fn unfinished(parent: &Path) -> Result<TempDir, Error> {
    std::fs::create_dir_all(parent).map_err(io("create", parent))?;
    let new = TempDir::with_prefix_in(PREFIX, parent).map_err(io("write in", parent))?;
    // By the clock of the file system, which another machine may serve.
    if let Ok(now) = changed(new.path()) {
        sweep(parent, now);
    }
    Ok(new)
}

fn changed(path: &Path) -> std::io::Result<SystemTime> {
    path.metadata()?.modified()
}

/// What cannot be looked at or removed stays: nothing depends on it.
fn sweep(parent: &Path, now: SystemTime) {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let abandoned = || {
            let age = now.duration_since(changed(&entry.path()).ok()?).ok()?;
            Some(age > ABANDONED)
        };
        if name.to_string_lossy().starts_with(PREFIX) && abandoned() == Some(true) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Gives a filled folder its name. One that is there already and that `usable` accepts stays in its place: it is the
/// same. Another makes room.
///
/// # Errors
/// When the place cannot be written.
pub fn publish(whole: TempDir, place: &Path, usable: &dyn Fn(&Path) -> bool) -> Result<(), Error> {
    let mut attempts = 0;
    loop {
        // A folder that is not empty is not replaced.
        let problem = match std::fs::rename(whole.path(), place) {
            Ok(()) => {
                // It has gone from where it would be removed.
                let _ = whole.keep();
                return Ok(());
            }
            Err(problem) => problem,
        };
        if usable(place) {
            return Ok(());
        }
        attempts += 1;
        if attempts > ATTEMPTS {
            return Err(io("write", place)(problem));
        }
        set_aside(place, &whole)?;
    }
}

/// Others may put a damaged folder there again, but not for ever.
const ATTEMPTS: usize = 10;

/// Moves away what could not be used, so that nobody reads half of it. Another process may have done so.
fn set_aside(place: &Path, whole: &TempDir) -> Result<(), Error> {
    let parent = whole.path().parent().unwrap_or(Path::new(""));
    let aside = TempDir::with_prefix_in(PREFIX, parent).map_err(io("write in", parent))?;
    match std::fs::rename(place, aside.path().join("damaged")) {
        Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => {
            Err(io("replace", place)(problem))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FILES: [&str; 3] = ["a", "b", "c"];

    fn whole(folder: &Path) -> bool {
        let same = |file| fs::read_to_string(folder.join(file)).is_ok_and(|text| text == file);
        FILES.into_iter().all(same)
    }

    fn make(parent: &Path, place: &Path) {
        let new = unfinished(parent).unwrap();
        for file in FILES {
            fs::write(new.path().join(file), file).unwrap();
        }
        publish(new, place, &whole).unwrap();
    }

    fn names(parent: &Path) -> Vec<String> {
        let entries = fs::read_dir(parent).unwrap();
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn all_who_finish_the_same_at_once_are_done() {
        let parent = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let place = parent.path().join("same");
            // In every second round a damaged one is there.
            if round % 2 == 1 {
                fs::create_dir(&place).unwrap();
                fs::write(place.join("a"), "half").unwrap();
            }
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| make(parent.path(), &place));
                }
            });
            assert!(whole(&place));
            assert_eq!(names(parent.path()), ["same"]);
            fs::remove_dir_all(&place).unwrap();
        }
    }

    #[test]
    fn what_is_there_stays_where_it_can_be_used() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("same");
        make(parent.path(), &place);
        fs::write(place.join("first"), "").unwrap();
        make(parent.path(), &place);
        assert!(place.join("first").exists());
    }

    #[test]
    fn leftovers_of_dead_processes_go_and_those_of_live_ones_stay() {
        let parent = tempfile::tempdir().unwrap();
        let [dead, live, named] = ["unfinished-dead", "unfinished-live", "0123456789abcdef"]
            .map(|name| parent.path().join(name));
        for folder in [&dead, &live, &named] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("a"), "a").unwrap();
        }
        let now = SystemTime::now();
        let set = |path: &Path, age: Duration| {
            fs::File::open(path)
                .unwrap()
                .set_modified(now - age)
                .unwrap();
        };
        set(&dead, ABANDONED + Duration::from_secs(60));
        set(&live, ABANDONED - Duration::from_secs(60));
        set(&named, ABANDONED * 30);
        drop(unfinished(parent.path()).unwrap());
        let mut left = names(parent.path());
        left.sort();
        assert_eq!(left, ["0123456789abcdef", "unfinished-live"]);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told() {
        let parent = tempfile::tempdir().unwrap();
        let new = unfinished(parent.path()).unwrap();
        let place = parent.path().join("missing/same");
        let message = publish(new, &place, &whole).unwrap_err().to_string();
        assert!(message.contains("missing"), "{message}");
    }
}
