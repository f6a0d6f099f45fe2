//! A job of Ray: a script that starts a task a worker.

use serde_json::json;

use crate::error::wrong;
use crate::quote::word;
use crate::{Bundle, Error, File, Work};

/// What Ray is to be told.
#[derive(Clone, Debug, Default)]
pub struct Ray {
    /// Address of the cluster's dashboard, such as `http://head:8265`; that of `RAY_ADDRESS` where there is none.
    pub address: Option<String>,
}

impl Ray {
    /// `job.py`, the study with its recipe, and `submit.sh`, which sends all of them.
    ///
    /// # Errors
    /// [`Error::Option`] when the nodes share nothing, or the address is none.
    pub fn files(&self, work: &Work, bundle: &Bundle) -> Result<Vec<File>, Error> {
        work.check()?;
        if let Some(address) = &self.address
            && !(address.starts_with("http://") || address.starts_with("https://"))
        {
            let right = "write the address of the dashboard, such as http://head:8265";
            return Err(wrong("--address", format!("`{address}`: {right}")));
        }
        let absolute = |path: &str| path.starts_with('/');
        let shared = work.store.as_deref().unwrap_or(&work.out);
        if !work.is_remote() && !absolute(shared) {
            return Err(wrong(
                "--store",
                format!(
                    "`{shared}`: a job of Ray runs in a folder of its own on each node: give the whole path of a folder \
                     that all nodes share, or an object store, s3://BUCKET/PREFIX"
                ),
            ));
        }
        if !absolute(&work.out) {
            return Err(wrong(
                "--out",
                format!("`{}`: give a whole path for the job of Ray", work.out),
            ));
        }
        let mut work = work.clone();
        work.study.clone_from(&bundle.study);
        let mut files = vec![
            File::new("job.py", script(&work)),
            File::new("submit.sh", self.submit()),
        ];
        files.extend(bundle.files.iter().cloned());
        Ok(files)
    }

    fn submit(&self) -> String {
        let address = self.address.iter();
        let address: String = address
            .map(|at| format!(" --address {}", word(at)))
            .collect();
        format!(
            "#!/bin/sh\nset -eu\ncd \"$(dirname \"$0\")\"\nexec ray job submit{address} --working-dir . \"$@\" -- python job.py\n"
        )
    }
}

fn script(work: &Work) -> String {
    let resources = &work.resources;
    // Lists and strings of JSON are Python's too.
    let settings = format!(
        "WORKERS = {}\nWORKER = {}\nTABLE = {}\nRESOURCES = {{\"num_cpus\": {}, \"num_gpus\": {}, \"memory\": {}}}\nTHREADS = \"{}\"\n",
        work.workers,
        json!(work.worker(&["--worker"])),
        json!(work.table()),
        resources.cpus,
        u8::from(resources.gpu),
        resources.memory.bytes(),
        resources.cpus,
    );
    format!(
        "\"\"\"Workers of a study on Ray, and its table when all have ended.\"\"\"\n\n{IMPORTS}\n{settings}{SCRIPT}"
    )
}

const IMPORTS: &str = "import os\nimport subprocess\n\nimport ray\n";

const SCRIPT: &str = r#"
# Ended by a signal, its state saved: started again.
INTERRUPTED = (130, 143)
RESTARTS = 4


# A task whose node is lost runs again on another.
@ray.remote(max_retries=-1, **RESOURCES)
def run(command):
    environment = {**os.environ, "RAYON_NUM_THREADS": THREADS}
    for _ in range(1 + RESTARTS):
        code = subprocess.run(command, env=environment).returncode
        if code == 0:
            return
        if code > 0 and code not in INTERRUPTED:
            break
    raise RuntimeError(f"{command[0]} ended with exit code {code}")


ray.init()
ray.get([run.options(name=f"worker {number}").remote(WORKER) for number in range(1, 1 + WORKERS)])
ray.get(run.options(name="table").remote(TABLE))
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        Bundle {
            study: "study/a.toml".into(),
            files: vec![File::new("study/a.toml", String::new())],
        }
    }

    #[test]
    fn the_script_has_the_commands_and_what_a_worker_gets() {
        let mut work = Work::new("methods", "recipes/a.toml", "/nfs/runs/it's");
        work.workers = 3;
        work.resources.gpu = true;
        let ray = Ray {
            address: Some("http://head:8265".into()),
        };
        let files = ray.files(&work, &bundle()).unwrap();
        let names: Vec<&str> = files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["job.py", "submit.sh", "study/a.toml"]);
        let expected = r#"
WORKERS = 3
WORKER = ["kd","study","study/a.toml","--out","/nfs/runs/it's","--worker","--lease","60"]
TABLE = ["kd","study","study/a.toml","--out","/nfs/runs/it's"]
RESOURCES = {"num_cpus": 4, "num_gpus": 1, "memory": 8589934592}
THREADS = "4"
"#;
        assert!(files[0].text.contains(expected), "{}", files[0].text);
        let submit = "exec ray job submit --address http://head:8265 --working-dir . \"$@\" -- python job.py\n";
        assert!(files[1].text.ends_with(submit), "{}", files[1].text);
    }

    #[test]
    fn nodes_that_share_nothing_are_refused() {
        let message = |work: &Work, ray: Ray| ray.files(work, &bundle()).unwrap_err().to_string();
        let mut work = Work::new("methods", "a.toml", "runs/methods");
        let said = message(&work, Ray::default());
        assert!(said.starts_with("--store: `runs/methods`"), "{said}");
        work.store = Some("s3://bucket/a".into());
        let said = message(&work, Ray::default());
        assert!(said.starts_with("--out: `runs/methods`"), "{said}");
        work.out = "/tmp/methods".into();
        assert!(Ray::default().files(&work, &bundle()).is_ok());
        let wrong = Ray {
            address: Some("head:6379".into()),
        };
        assert!(message(&work, wrong).contains("http://head:8265"));
    }
}
