//! `kd cluster`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use kd_cluster::{Bundle, File, Kubernetes, Memory, Ray, Resources, Slurm, Time, Work};
use kd_train::study::Study;

use crate::failure::BadInput;

/// Write the job files of a cluster's engine for the workers of a study
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd cluster slurm recipes/studies/methods.toml --workers 8 --partition gpu --gpu --time 12:00:00
  kd cluster k8s recipes/studies/methods.toml --image registry/kd:1 --claim shared
  kd cluster ray recipes/studies/methods.toml --store s3://bucket/methods --out /tmp/methods

Each writes a folder with submit.sh, which starts the workers and, when all have ended, makes the
table. The files hold no secrets: credentials come from the environment of the jobs.")]
pub struct Arguments {
    #[command(subcommand)]
    engine: Engine,
}

#[derive(Subcommand)]
enum Engine {
    /// An array job of Slurm.
    Slurm(SlurmArguments),
    /// An indexed Job of Kubernetes.
    #[command(alias = "kubernetes")]
    K8s(KubernetesArguments),
    /// A job of Ray.
    Ray(RayArguments),
}

/// What every engine is told.
#[derive(Args)]
struct Common {
    /// The study, a TOML file.
    study: PathBuf,
    /// How many workers [default: a variant with one seed each, 8 at most].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    workers: Option<u32>,
    /// CPU cores of each worker.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    cpus: u32,
    /// Memory of each worker.
    #[arg(long, value_name = "SIZE", default_value = "8G")]
    memory: Memory,
    /// Give each worker a GPU. A run uses one device, so it gets no more.
    #[arg(long)]
    gpu: bool,
    /// What workers share: a folder or an address, as of `kd study` [default: the folder for the results].
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// After how many seconds without a sign of life a worker's training is taken over.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    lease: u64,
    /// Override a key of the recipe in every variant; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// How many times to train each variant [default: the study's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seeds: Option<u32>,
    /// Device of the workers, as of `kd study`.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// How the command is called there.
    #[arg(long, value_name = "COMMAND", default_value = "kd")]
    kd: String,
    /// Folder for the job files [default: cluster/NAME].
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
}

#[derive(Args)]
struct SlurmArguments {
    #[command(flatten)]
    common: Common,
    /// Folder for the results [default: runs/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The partition.
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// Who pays.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// For how long a worker runs before it goes back into the queue: 12:00:00 or 2-00:00:00
    /// [default: the partition's].
    #[arg(long, value_name = "TIME")]
    time: Option<Time>,
    /// Give each worker a fixed part (`--shard`) in the place of what no other does.
    #[arg(long)]
    parts: bool,
    /// One more option of sbatch, such as --option=--constraint=a100; can be repeated.
    #[arg(long = "option", value_name = "OPTION", allow_hyphen_values = true)]
    options: Vec<String>,
    /// A line that prepares a job, such as 'module load cuda'; can be repeated.
    #[arg(long, value_name = "LINE")]
    setup: Vec<String>,
}

#[derive(Args)]
struct KubernetesArguments {
    #[command(flatten)]
    common: Common,
    /// The image, which has the command kd.
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// The namespace [default: that of the context].
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// A PersistentVolumeClaim that several nodes can write, for what workers share.
    #[arg(long, value_name = "NAME")]
    claim: Option<String>,
    /// A Secret whose keys become variables of the workers, such as credentials of the store.
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// The account of the pods, where the store knows it.
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
}

#[derive(Args)]
struct RayArguments {
    #[command(flatten)]
    common: Common,
    /// Folder for the results, on the nodes.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Address of the cluster's dashboard, such as http://head:8265 [default: RAY_ADDRESS of who submits].
    #[arg(long, value_name = "URL")]
    address: Option<String>,
}

impl Common {
    fn work(&self, study: &Study, out: Option<&Path>) -> Result<Work> {
        let units = study.variants.len() * study.seeds;
        let workers = self
            .workers
            .map_or(units.min(8), |workers| workers as usize);
        if workers > units {
            return Err(BadInput(format!(
                "--workers: {workers} is more than the {units} variants and seeds of the study, of which a worker does at \
                 least one: give {units} or fewer"
            ))
            .into());
        }
        let default = Path::new("runs").join(&study.name);
        let mut work = Work::new(
            &study.name,
            text(&self.study)?,
            text(out.unwrap_or(&default))?,
        );
        work.store.clone_from(&self.store);
        work.kd.clone_from(&self.kd);
        work.workers = workers;
        work.lease = self.lease;
        work.resources = Resources {
            cpus: self.cpus,
            memory: self.memory,
            gpu: self.gpu,
        };
        let mut option =
            |name: &str, value: &str| work.arguments.extend([name.into(), value.into()]);
        for change in &self.overrides {
            option("--set", change);
        }
        if let Some(seeds) = self.seeds {
            option("--seeds", &seeds.to_string());
        }
        if let Some(device) = &self.device {
            option("--device", device);
        }
        Ok(work)
    }
}

fn text(path: &Path) -> Result<&str> {
    let wrong = || BadInput(format!("{}: the path is not UTF-8", path.display()));
    Ok(path.to_str().ok_or_else(wrong)?)
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let common = match &arguments.engine {
        Engine::Slurm(slurm) => &slurm.common,
        Engine::K8s(kubernetes) => &kubernetes.common,
        Engine::Ray(ray) => &ray.common,
    };
    let seeds = common.seeds.map(|seeds| seeds as usize);
    let study = Study::load(&common.study, &common.overrides, seeds)?;
    let files = files(&arguments.engine, &study)?;
    let default = || Path::new("cluster").join(&study.name);
    let folder = common.files.clone().unwrap_or_else(default);
    kd_cluster::write(&files, &folder)?;
    super::print(format_args!(
        "start it with {}",
        folder.join("submit.sh").display()
    ))
}

fn files(engine: &Engine, study: &Study) -> Result<Vec<File>> {
    let bundle = |common: &Common| Bundle::read(&common.study, &study.recipe);
    Ok(match engine {
        Engine::Slurm(arguments) => {
            let here = std::env::current_dir().context("find the working directory")?;
            let slurm = Slurm {
                partition: arguments.partition.clone(),
                account: arguments.account.clone(),
                time: arguments.time,
                parts: arguments.parts,
                options: arguments.options.clone(),
                setup: arguments.setup.clone(),
                folder: text(&here)?.into(),
            };
            slurm.files(&arguments.common.work(study, arguments.out.as_deref())?)?
        }
        Engine::K8s(arguments) => {
            let kubernetes = Kubernetes {
                image: arguments.image.clone(),
                namespace: arguments.namespace.clone(),
                claim: arguments.claim.clone(),
                secret: arguments.secret.clone(),
                service_account: arguments.service_account.clone(),
            };
            let common = &arguments.common;
            kubernetes.files(&common.work(study, None)?, &bundle(common)?)?
        }
        Engine::Ray(arguments) => {
            let ray = Ray {
                address: arguments.address.clone(),
            };
            let common = &arguments.common;
            ray.files(&common.work(study, Some(&arguments.out))?, &bundle(common)?)?
        }
    })
}
