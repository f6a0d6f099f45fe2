//! Leases when calls fail, answers are lost or late, clocks differ, and workers pause or die between any two calls.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use kd_store::{Claim, Clock, Error, Lease, Leases, Object, Store, Version};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const LASTS: f64 = 60.0;
const WORKERS: usize = 4;
const JOBS: usize = 6;
/// Renewals that a job takes.
const WORK: usize = 8;
/// Seconds after which nothing fails any more.
const FAULTS_END: f64 = 3000.0;

/// The world: its time, its store, and what goes wrong.
struct World {
    time: Cell<f64>,
    random: RefCell<StdRng>,
    objects: RefCell<BTreeMap<String, (u64, Vec<u8>)>>,
    workers: Vec<RefCell<Worker>>,
    /// Workers that are in the middle of a call.
    depth: Cell<usize>,
    born: Cell<usize>,
    granted: RefCell<HashSet<(String, u64)>>,
    counts: RefCell<Counts>,
}

#[derive(Default, Debug)]
struct Counts {
    deaths: usize,
    errors: usize,
    lost_answers: usize,
    pauses: usize,
    takeovers: usize,
    late: usize,
}

impl World {
    fn chance(&self, share: f64) -> bool {
        self.random.borrow_mut().random::<f64>() < share
    }

    fn faults(&self) -> bool {
        self.time.get() < FAULTS_END
    }

    fn pass(&self, seconds: f64) {
        self.time.set(self.time.get() + seconds);
    }

    fn pick(&self, of: usize) -> usize {
        self.random.borrow_mut().random_range(0..of)
    }

    fn seconds(&self, most: f64) -> f64 {
        self.random.borrow_mut().random::<f64>() * most
    }

    /// Time passes, and others do something.
    fn meanwhile(self: &Rc<Self>) {
        self.pass(self.seconds(0.5));
        let long = self.faults() && self.chance(0.01);
        if long {
            self.counts.borrow_mut().pauses += 1;
        }
        if self.depth.get() >= 3 {
            return;
        }
        self.depth.set(self.depth.get() + 1);
        let steps = if long { 60 } else { self.pick(3) };
        for _ in 0..steps {
            step(self, self.pick(WORKERS));
            if long {
                self.pass(self.seconds(6.0));
            }
        }
        self.depth.set(self.depth.get() - 1);
    }
}

/// A worker's way to the store.
struct Link(Rc<World>, Rc<Cell<bool>>);

fn unreachable() -> Error {
    Error::Io {
        what: "reach",
        path: "store".into(),
        source: std::io::ErrorKind::TimedOut.into(),
    }
}

impl Link {
    fn call<T>(
        &self,
        work: impl FnOnce(&mut BTreeMap<String, (u64, Vec<u8>)>) -> T,
    ) -> Result<T, Error> {
        let Self(world, dead) = self;
        let dies = || {
            let dies = world.faults() && world.chance(0.01);
            dead.set(dead.get() || dies);
            dead.get()
        };
        if dies() {
            return Err(unreachable());
        }
        world.meanwhile();
        if world.faults() && world.chance(0.03) {
            world.counts.borrow_mut().errors += 1;
            return Err(unreachable());
        }
        let answer = work(&mut world.objects.borrow_mut());
        world.meanwhile();
        if world.faults() && world.chance(0.03) {
            world.counts.borrow_mut().lost_answers += 1;
            return Err(unreachable());
        }
        if dies() {
            return Err(unreachable());
        }
        Ok(answer)
    }
}

impl Store for Link {
    fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        self.call(|objects| {
            objects.get(key).map(|(version, bytes)| Object {
                bytes: bytes.clone(),
                version: Version(version.to_string()),
            })
        })
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Option<Version>, Error> {
        self.call(|objects| {
            let new = !objects.contains_key(key);
            new.then(|| {
                objects.insert(key.into(), (1, bytes.to_vec()));
                Version("1".into())
            })
        })
    }

    fn replace(
        &self,
        key: &str,
        bytes: &[u8],
        version: &Version,
    ) -> Result<Option<Version>, Error> {
        self.call(|objects| {
            let there = objects.get_mut(key)?;
            if there.0.to_string() != version.0 {
                return None;
            }
            *there = (there.0 + 1, bytes.to_vec());
            Some(Version(there.0.to_string()))
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.call(|objects| {
            let keys = objects.keys().filter(|key| key.starts_with(prefix));
            keys.cloned().collect()
        })
    }
}

/// A clock that began at another time and goes at another speed.
struct Own {
    world: Rc<World>,
    ahead: f64,
    speed: f64,
}

impl Clock for Own {
    fn now(&self) -> Duration {
        Duration::from_secs_f64(self.ahead + self.speed * self.world.time.get())
    }
}

/// What a worker remembers until it dies.
struct Process {
    leases: Leases<Link, Own>,
    store: Link,
    dead: Rc<Cell<bool>>,
    work: Option<(Lease, usize)>,
    /// Until when its machine is suspended, between two things that it does.
    asleep: f64,
}

#[derive(Default)]
struct Worker(Option<Process>);

impl Process {
    fn new(world: &Rc<World>) -> Self {
        world.born.set(world.born.get() + 1);
        let dead = Rc::new(Cell::new(false));
        let link = || Link(world.clone(), dead.clone());
        let clock = Own {
            world: world.clone(),
            ahead: world.seconds(1e6),
            speed: 0.9 + world.seconds(0.2),
        };
        let name = format!("worker-{}", world.born.get());
        let lasts = Duration::from_secs_f64(LASTS);
        Self {
            leases: Leases::with_clock(link(), lasts, name, clock),
            store: link(),
            dead,
            work: None,
            asleep: 0.0,
        }
    }

    /// One thing that a worker does; a failed call is tried again the next time.
    fn act(&mut self, world: &Rc<World>) -> Result<(), Error> {
        let Some((mut lease, left)) = self.work.take() else {
            let job = format!("job-{}", world.pick(JOBS));
            if self.store.get(&done(&job))?.is_some() {
                return Ok(());
            }
            if let Claim::Granted(lease) = self.leases.claim(&job)? {
                let new = (job.clone(), lease.token());
                assert!(world.granted.borrow_mut().insert(new), "a token twice");
                world.counts.borrow_mut().takeovers += usize::from(lease.token() > 1);
                if self.store.get(&done(&job))?.is_some() {
                    return self.leases.release(lease);
                }
                self.work = Some((lease, WORK));
            }
            return Ok(());
        };
        match self.leases.renew(&mut lease) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(_) if self.leases.holds(&lease) => {
                self.work = Some((lease, left));
                return Ok(());
            }
            Err(_) => return Ok(()),
        }
        if left > 0 {
            self.work = Some((lease, left - 1));
            return Ok(());
        }
        let result = format!("by {}", lease.token());
        let made = self.store.create(&done(lease.key()), result.as_bytes());
        match made {
            Ok(Some(_)) => {}
            Ok(None) => world.counts.borrow_mut().late += 1,
            Err(_) => {
                self.work = Some((lease, 0));
                return Ok(());
            }
        }
        self.leases.release(lease)
    }
}

fn done(job: &str) -> String {
    format!("done-{job}")
}

/// One thing that one worker does, unless it is in the middle of one.
fn step(world: &Rc<World>, who: usize) {
    let Ok(mut worker) = world.workers[who].try_borrow_mut() else {
        return;
    };
    let process = worker.0.get_or_insert_with(|| Process::new(world));
    if world.time.get() < process.asleep {
        return;
    }
    if world.faults() && world.chance(0.02) {
        world.counts.borrow_mut().pauses += 1;
        process.asleep = world.time.get() + world.seconds(3.0 * LASTS);
        return;
    }
    // A call that failed is no end.
    let _ = process.act(world);
    if process.dead.get() {
        world.counts.borrow_mut().deaths += 1;
        worker.0 = None;
    }
}

/// Nobody counts on a lease that another counts on.
fn check(world: &World) {
    let mut held = HashSet::new();
    for worker in &world.workers {
        let worker = worker.borrow();
        let Some(process) = &worker.0 else { continue };
        if let Some((lease, _)) = &process.work
            && process.leases.holds(lease)
        {
            assert!(
                held.insert(lease.key().to_owned()),
                "two hold {}",
                lease.key()
            );
        }
    }
}

fn run(seed: u64) -> Counts {
    let world = Rc::new(World {
        time: Cell::new(0.0),
        random: RefCell::new(StdRng::seed_from_u64(seed)),
        objects: RefCell::default(),
        workers: (0..WORKERS).map(|_| RefCell::default()).collect(),
        depth: Cell::new(0),
        born: Cell::new(0),
        granted: RefCell::default(),
        counts: RefCell::default(),
    });
    let all_done = || {
        let objects = world.objects.borrow();
        (0..JOBS).all(|job| objects.contains_key(&done(&format!("job-{job}"))))
    };
    while !all_done() {
        step(&world, world.pick(WORKERS));
        world.pass(world.seconds(4.0));
        check(&world);
        assert!(
            world.time.get() < 2.0 * FAULTS_END,
            "seed {seed}: work is lost"
        );
    }
    // Workers hold the world, which holds them.
    for worker in &world.workers {
        worker.borrow_mut().0 = None;
    }
    world.counts.take()
}

#[test]
fn every_job_is_done_and_no_two_work_on_one() {
    let mut all = Counts::default();
    for seed in 0..400 {
        let counts = run(seed);
        all.deaths += counts.deaths;
        all.errors += counts.errors;
        all.lost_answers += counts.lost_answers;
        all.pauses += counts.pauses;
        all.takeovers += counts.takeovers;
        all.late += counts.late;
    }
    println!("{all:?}");
    // Faults of every kind have happened, and often.
    let Counts {
        deaths,
        errors,
        lost_answers,
        pauses,
        takeovers,
        late: _,
    } = all;
    for count in [deaths, errors, lost_answers, pauses, takeovers] {
        assert!(count > 400, "{count}");
    }
}

#[test]
fn a_lease_is_free_again_once_it_was_given_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = || kd_store::Folder::new(folder.path()).expect("a store");
    let [a, b] = [(); 2].map(|()| Leases::new(store(), Duration::from_secs(3600)));
    let Claim::Granted(mut lease) = a.claim("job").expect("an answer") else {
        panic!("nobody else is there");
    };
    assert!(matches!(
        b.claim("job").expect("an answer"),
        Claim::Busy { .. }
    ));
    assert!(a.renew(&mut lease).expect("an answer") && a.holds(&lease));
    a.release(lease).expect("an answer");
    let Claim::Granted(lease) = b.claim("job").expect("an answer") else {
        panic!("it was given back");
    };
    assert_eq!(lease.token(), 2);
}

#[test]
fn what_is_no_lease_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = kd_store::Folder::new(folder.path()).expect("a store");
    store.create("job", b"hello").expect("an answer");
    let leases = Leases::new(store, Duration::from_secs(1));
    let message = leases.claim("job").expect_err("no lease").to_string();
    assert!(message.starts_with("`job` holds no lease"), "{message}");
}
