//! Reads a growing `metrics.jsonl` and tells a tracker its lines.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Error, io};
use crate::{Mark, Point, Status, Tracker};

/// Between two looks at the file.
const PAUSE: Duration = Duration::from_secs(2);
/// After the first failure; doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// For how long a run that has ended waits for a server that does not answer.
const GRACE: Duration = Duration::from_secs(10);
/// Bytes that are read at once; no line is as long.
const CHUNK: u64 = 1 << 18;

/// Where the points come from.
#[derive(Clone)]
pub struct Metrics {
    /// `metrics.jsonl`.
    pub path: PathBuf,
    /// Training, step and values of a line; an error says what is wrong with it.
    pub read: fn(&str) -> Result<Point, String>,
}

/// How a run ended, and what it measured.
#[derive(Clone, Debug)]
pub struct End {
    /// How.
    pub status: Status,
    /// Scores on the test split.
    pub results: Vec<Point>,
}

/// Tells a tracker all lines of a run that has ended; retries for ten seconds what may pass.
///
/// # Errors
/// When the tracker does not take them.
pub fn replay(metrics: &Metrics, tracker: &mut dyn Tracker, end: End) -> Result<(), Error> {
    let (sender, receiver) = channel();
    let _ = sender.send(end);
    Teller::new(metrics, tracker, &receiver, &mut |_| {}).tell()
}

/// A thread that tells a tracker the lines of a run while it writes them.
pub struct Follower {
    end: Sender<End>,
    thread: Option<JoinHandle<()>>,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Follower {
    /// Starts it. `name` is what its notes call the tracker.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        name: String,
        metrics: Metrics,
        mut tracker: Box<dyn Tracker>,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let notes = Arc::new(Mutex::new(Vec::new()));
        let shared = notes.clone();
        let thread = std::thread::Builder::new().name("kd-track".into());
        let thread = thread.spawn(move || {
            let mut note = |text: String| {
                let mut notes = shared.lock().unwrap_or_else(PoisonError::into_inner);
                notes.push(format!("{name}: {text}"));
            };
            let told = Teller::new(&metrics, &mut *tracker, &receiver, &mut note).tell();
            if let Err(error) = told {
                note(format!(
                    "{error}; not all was told, the run itself is not touched: `kd track RUN --to {name}` tells it later"
                ));
            }
        })?;
        Ok(Self {
            end: sender,
            thread: Some(thread),
            notes,
        })
    }

    /// What there is to say since the last time. Never waits.
    pub fn notes(&self) -> Vec<String> {
        match self.notes.try_lock() {
            Ok(mut notes) => std::mem::take(&mut notes),
            Err(_) => Vec::new(),
        }
    }

    /// Tells the tracker what is left and ends; a server that does not answer is waited for ten seconds or so.
    /// Returns what there is to say.
    pub fn finish(mut self, end: End) -> Vec<String> {
        let _ = self.end.send(end);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.notes()
    }
}

struct Teller<'a> {
    metrics: &'a Metrics,
    tracker: &'a mut dyn Tracker,
    ends: &'a Receiver<End>,
    note: &'a mut dyn FnMut(String),
    end: Option<End>,
    /// When a run that has ended stops waiting.
    deadline: Option<Instant>,
    told: Mark,
}

impl<'a> Teller<'a> {
    fn new(
        metrics: &'a Metrics,
        tracker: &'a mut dyn Tracker,
        ends: &'a Receiver<End>,
        note: &'a mut dyn FnMut(String),
    ) -> Self {
        Self {
            metrics,
            tracker,
            ends,
            note,
            end: None,
            deadline: None,
            told: Mark::default(),
        }
    }

    fn tell(mut self) -> Result<(), Error> {
        self.told = self.retried(|tracker| tracker.begin())?;
        if !self.unchanged()? {
            self.rewind()?;
        }
        loop {
            self.wait(if self.end.is_some() {
                Duration::ZERO
            } else {
                PAUSE
            });
            let ended = self.end.is_some();
            self.new_lines()?;
            if ended {
                break;
            }
        }
        // A run that goes on may have cut lines and written others.
        if !self.unchanged()? {
            self.rewind()?;
            self.new_lines()?;
        }
        let end = self.end.clone();
        match end {
            Some(End { status, results }) => {
                self.retried(|tracker| tracker.finish(status, &results))
            }
            None => Ok(()),
        }
    }

    fn rewind(&mut self) -> Result<(), Error> {
        self.told = Mark::default();
        self.retried(|tracker| tracker.rewind())
    }

    fn open(&self) -> Result<Option<File>, Error> {
        match File::open(&self.metrics.path) {
            Ok(file) => Ok(Some(file)),
            // The run has not written any.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io("read", &self.metrics.path)(e)),
        }
    }

    /// Whether the lines that were told are still those of the file.
    fn unchanged(&self) -> Result<bool, Error> {
        let Some(file) = self.open()? else {
            return Ok(self.told.bytes == 0);
        };
        let mut hasher = crc32fast::Hasher::new();
        let mut left = file.take(self.told.bytes);
        let mut buffer = vec![0; 1 << 16];
        let mut bytes = 0;
        loop {
            let n = left
                .read(&mut buffer)
                .map_err(io("read", &self.metrics.path))?;
            if n == 0 {
                break;
            }
            bytes += n as u64;
            hasher.update(&buffer[..n]);
        }
        let crc = hasher.finalize();
        Ok(Mark { bytes, crc } == self.told)
    }

    /// Tells the lines that are there and were not told.
    fn new_lines(&mut self) -> Result<(), Error> {
        let Some(mut file) = self.open()? else {
            return Ok(());
        };
        let read = io("read", &self.metrics.path);
        let length = file.metadata().map_err(read)?.len();
        if length < self.told.bytes {
            self.rewind()?;
        }
        loop {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(self.told.bytes))
                .and_then(|_| (&mut file).take(CHUNK).read_to_end(&mut bytes))
                .map_err(io("read", &self.metrics.path))?;
            // The last may be half written.
            let whole = bytes
                .iter()
                .rposition(|b| *b == b'\n')
                .map_or(0, |at| at + 1);
            if whole == 0 {
                return Ok(());
            }
            bytes.truncate(whole);
            let points = self.read(&bytes)?;
            let mut hasher =
                crc32fast::Hasher::new_with_initial_len(self.told.crc, self.told.bytes);
            hasher.update(&bytes);
            let mark = Mark {
                bytes: self.told.bytes + whole as u64,
                crc: hasher.finalize(),
            };
            self.retried(|tracker| tracker.points(&points, mark))?;
            self.told = mark;
        }
    }

    fn read(&self, bytes: &[u8]) -> Result<Vec<Point>, Error> {
        let wall = now();
        let mut at = self.told.bytes;
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        lines
            .map(|line| {
                let text = str::from_utf8(line).map_err(|e| e.to_string());
                let point = text.and_then(|text| (self.metrics.read)(text.trim_end()));
                let point = point.map(|point| Point { wall, ..point });
                let point = point.map_err(|problem| Error::Line {
                    path: self.metrics.path.clone(),
                    at,
                    problem,
                });
                at += line.len() as u64;
                point
            })
            .collect()
    }

    /// Does something again for as long as it may still succeed.
    fn retried<T>(
        &mut self,
        mut what: impl FnMut(&mut dyn Tracker) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut pause = FIRST_WAIT;
        let mut said = false;
        loop {
            match what(self.tracker) {
                Err(error) if error.passes() && !self.late() => {
                    if !said && self.end.is_none() {
                        (self.note)(format!("{error}; tried again while the run goes on"));
                        said = true;
                    }
                    self.wait(pause);
                    pause = (pause * 2).min(LONGEST_WAIT);
                }
                result => return result,
            }
        }
    }

    fn late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits, at most until the run ends.
    fn wait(&mut self, pause: Duration) {
        if self.end.is_some() {
            // A moment at most, so that the deadline is met.
            std::thread::sleep(pause.min(FIRST_WAIT));
            return;
        }
        let end = match self.ends.recv_timeout(pause) {
            Ok(end) => end,
            Err(RecvTimeoutError::Timeout) => return,
            Err(RecvTimeoutError::Disconnected) => End {
                status: Status::Interrupted,
                results: Vec::new(),
            },
        };
        self.end = Some(end);
        self.deadline = Some(Instant::now() + GRACE);
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |time| time.as_secs_f64())
}

/// Makes a folder.
pub(crate) fn make(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(io("create", folder))
}
