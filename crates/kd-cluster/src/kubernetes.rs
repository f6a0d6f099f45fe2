//! An indexed Job of Kubernetes, and one for the table after it.

use serde_json::{Value, json};

use crate::error::wrong;
use crate::quote::word;
use crate::{Bundle, Error, File, Work};

/// What Kubernetes is to be told.
#[derive(Clone, Debug, Default)]
pub struct Kubernetes {
    /// The image, which has the command `kd`.
    pub image: String,
    /// The namespace; that of the context where there is none.
    pub namespace: Option<String>,
    /// A PersistentVolumeClaim that several nodes can write, for the folder that workers share.
    pub claim: Option<String>,
    /// A Secret whose keys become variables of the workers, such as the credentials of a store.
    pub secret: Option<String>,
    /// The account of the pods, for stores that know it.
    pub service_account: Option<String>,
}

/// Where pods have the study, and the folder that they share or, without one, a folder of their own.
const FILES: &str = "/kd/files";
const FOLDER: &str = "/kd/work";

impl Kubernetes {
    /// `workers.json`, `submit.sh`, and with a claim `table.json`. The study's place and the folder for the results are the
    /// pods' own: `work` says their names.
    ///
    /// # Errors
    /// [`Error::Option`] when there is nothing that workers share, or a name is none of Kubernetes'.
    pub fn files(&self, work: &Work, bundle: &Bundle) -> Result<Vec<File>, Error> {
        work.check()?;
        self.check(work)?;
        let mut work = work.clone();
        work.study = format!("{FILES}/{}", bundle.study);
        work.out = format!("{FOLDER}/{}", work.job());
        let workers = json!({
            "apiVersion": "v1",
            "kind": "List",
            "items": [self.study(&work, bundle), self.workers(&work, bundle)],
        });
        let mut files = vec![File::new("workers.json", pretty(&workers))];
        if self.claim.is_some() {
            files.push(File::new("table.json", pretty(&self.table(&work, bundle))));
        }
        files.push(File::new("submit.sh", self.submit(&work)));
        Ok(files)
    }

    fn check(&self, work: &Work) -> Result<(), Error> {
        if self.image.is_empty() || self.image.contains(char::is_whitespace) {
            return Err(wrong(
                "--image",
                "give the name of an image that has the command kd",
            ));
        }
        for (option, name) in [
            ("--namespace", &self.namespace),
            ("--claim", &self.claim),
            ("--secret", &self.secret),
            ("--service-account", &self.service_account),
        ] {
            if let Some(name) = name
                && !is_name(name)
            {
                let problem = format!("`{name}`: names have small letters, digits, `-` and `.`");
                return Err(wrong(option, problem));
            }
        }
        match (&self.claim, work.is_remote()) {
            (None, false) => Err(wrong(
                "--claim",
                "pods share no folder: name a PersistentVolumeClaim that several nodes can write (ReadWriteMany), or an \
                 object store with --store s3://BUCKET/PREFIX",
            )),
            (Some(_), false) if work.store.is_some() => Err(wrong(
                "--store",
                "with --claim the workers share a folder of it: leave --store out",
            )),
            _ => Ok(()),
        }
    }

    /// The study and its recipe, as pods get them.
    fn study(&self, work: &Work, bundle: &Bundle) -> Value {
        let texts = bundle.files.iter().enumerate();
        let texts = texts.map(|(number, file)| (key(number), json!(file.text)));
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": self.metadata(&work.job()),
            "data": Value::Object(texts.collect()),
        })
    }

    fn workers(&self, work: &Work, bundle: &Bundle) -> Value {
        let mut job = self.job(work, bundle, &work.job(), work.worker(&["--worker"]));
        let spec = &mut job["spec"];
        spec["completionMode"] = json!("Indexed");
        spec["completions"] = json!(work.workers);
        spec["parallelism"] = json!(work.workers);
        spec["backoffLimitPerIndex"] = json!(4);
        job
    }

    fn table(&self, work: &Work, bundle: &Bundle) -> Value {
        let name = format!("{}-table", work.job());
        let mut job = self.job(work, bundle, &name, work.table());
        job["spec"]["backoffLimit"] = json!(4);
        job
    }

    /// A Job whose pods, interrupted, get another.
    fn job(&self, work: &Work, bundle: &Bundle, name: &str, command: Vec<String>) -> Value {
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": self.metadata(name),
            "spec": {
                "podFailurePolicy": { "rules": [
                    // Preempted, drained or evicted: no failure of the worker.
                    { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
                    // Ended by a signal, its state saved.
                    { "action": "Ignore", "onExitCodes": { "containerName": "kd", "operator": "In", "values": [130, 143] } },
                    // The command line, the study or the data are wrong: another pod would find the same.
                    { "action": "FailJob", "onExitCodes": { "containerName": "kd", "operator": "In", "values": [2, 3] } },
                ] },
                "template": {
                    "metadata": { "labels": { "app.kubernetes.io/name": "kd", "app.kubernetes.io/instance": work.job() } },
                    "spec": self.pod(work, bundle, command),
                },
            },
        })
    }

    fn pod(&self, work: &Work, bundle: &Bundle, command: Vec<String>) -> Value {
        let resources = &work.resources;
        let mut limits = json!({
            "cpu": resources.cpus.to_string(),
            "memory": format!("{}Mi", resources.memory.mebibytes()),
        });
        if resources.gpu {
            limits["nvidia.com/gpu"] = json!("1");
        }
        let places = bundle.files.iter().enumerate();
        let places = places.map(|(number, file)| json!({ "key": key(number), "path": file.name }));
        let folder = match &self.claim {
            Some(claim) => {
                json!({ "name": "work", "persistentVolumeClaim": { "claimName": claim } })
            }
            None => json!({ "name": "work", "emptyDir": {} }),
        };
        let mut container = json!({
            "name": "kd",
            "image": self.image,
            "command": command,
            "env": [{ "name": "RAYON_NUM_THREADS", "value": resources.cpus.to_string() }],
            "resources": { "requests": limits, "limits": limits },
            "volumeMounts": [
                { "name": "files", "mountPath": FILES, "readOnly": true },
                { "name": "work", "mountPath": FOLDER },
            ],
        });
        if let Some(secret) = &self.secret {
            container["envFrom"] = json!([{ "secretRef": { "name": secret } }]);
        }
        let mut pod = json!({
            "restartPolicy": "Never",
            // The current step ends, and the state is written.
            "terminationGracePeriodSeconds": 120,
            "automountServiceAccountToken": self.service_account.is_some(),
            "containers": [container],
            "volumes": [
                { "name": "files", "configMap": { "name": work.job(), "items": places.collect::<Vec<_>>() } },
                folder,
            ],
        });
        if let Some(account) = &self.service_account {
            pod["serviceAccountName"] = json!(account);
        }
        pod
    }

    fn metadata(&self, name: &str) -> Value {
        let mut metadata = json!({ "name": name, "labels": { "app.kubernetes.io/name": "kd" } });
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = json!(namespace);
        }
        metadata
    }

    fn submit(&self, work: &Work) -> String {
        let named = self.namespace.iter();
        let namespace: String = named
            .map(|name| format!(" --namespace {}", word(name)))
            .collect();
        let kubectl = format!("kubectl{namespace}");
        let mut text = format!(
            "#!/bin/sh\nset -eu\ncd \"$(dirname \"$0\")\"\n{kubectl} apply -f workers.json\n"
        );
        if self.claim.is_some() {
            text += &format!(
                "{kubectl} wait --for=condition=complete --timeout=-1s job/{}\n{kubectl} apply -f table.json\n",
                work.job()
            );
        }
        text
    }
}

/// A file of the ConfigMap.
fn key(number: usize) -> String {
    format!("file-{number}")
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    name.len() <= 253
        && name.chars().all(fits)
        && ends(name.chars().next())
        && ends(name.chars().last())
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        Bundle {
            study: "study/studies/a.toml".into(),
            files: vec![
                File::new("study/studies/a.toml", "recipe = \"../b.toml\"\n".into()),
                File::new("study/b.toml", "name = \"b\"\n".into()),
            ],
        }
    }

    fn kubernetes() -> Kubernetes {
        Kubernetes {
            image: "registry/kd:1".into(),
            claim: Some("shared".into()),
            ..Kubernetes::default()
        }
    }

    fn work() -> Work {
        let mut work = Work::new("methods", "a.toml", "runs/methods");
        work.workers = 3;
        work
    }

    fn read(file: &File) -> Value {
        serde_json::from_str(&file.text).unwrap()
    }

    #[test]
    fn workers_are_an_indexed_job_that_survives_preemption() {
        let files = kubernetes().files(&work(), &bundle()).unwrap();
        let list = read(&files[0]);
        let [study, job] = &list["items"].as_array().unwrap()[..] else {
            panic!("{list}");
        };
        assert_eq!(study["data"]["file-1"], "name = \"b\"\n");
        let spec = &job["spec"];
        assert_eq!(spec["completionMode"], "Indexed");
        assert_eq!(
            (&spec["completions"], &spec["parallelism"]),
            (&json!(3), &json!(3))
        );
        let rules = spec["podFailurePolicy"]["rules"].as_array().unwrap();
        assert_eq!(rules[0]["onPodConditions"][0]["type"], "DisruptionTarget");
        let pod = &spec["template"]["spec"];
        // What a podFailurePolicy needs.
        assert_eq!(pod["restartPolicy"], "Never");
        let command = &pod["containers"][0]["command"];
        let expected = [
            "kd",
            "study",
            "/kd/files/study/studies/a.toml",
            "--out",
            "/kd/work/kd-methods",
            "--worker",
            "--lease",
            "60",
        ];
        assert_eq!(*command, json!(expected));
        assert_eq!(
            pod["volumes"][0]["configMap"]["items"][1],
            json!({ "key": "file-1", "path": "study/b.toml" })
        );
        assert_eq!(
            pod["volumes"][1]["persistentVolumeClaim"]["claimName"],
            "shared"
        );
        assert_eq!(read(&files[1])["metadata"]["name"], "kd-methods-table");
        assert!(
            files[2].text.contains("job/kd-methods\n"),
            "{}",
            files[2].text
        );
    }

    #[test]
    fn an_object_store_needs_no_volume_and_no_secret_in_the_file() {
        let kubernetes = Kubernetes {
            claim: None,
            secret: Some("s3".into()),
            namespace: Some("lab".into()),
            ..kubernetes()
        };
        let mut work = work();
        work.store = Some("s3://bucket/methods".into());
        work.resources.gpu = true;
        let files = kubernetes.files(&work, &bundle()).unwrap();
        let names: Vec<&str> = files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["workers.json", "submit.sh"]);
        let job = &read(&files[0])["items"][1];
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["volumes"][1], json!({ "name": "work", "emptyDir": {} }));
        let container = &pod["containers"][0];
        assert_eq!(container["envFrom"][0]["secretRef"]["name"], "s3");
        assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], "1");
        assert_eq!(job["metadata"]["namespace"], "lab");
        assert!(
            files[1]
                .text
                .contains("kubectl --namespace lab apply -f workers.json\n")
        );
    }

    #[test]
    fn pods_that_share_nothing_are_refused() {
        let alone = Kubernetes {
            claim: None,
            ..kubernetes()
        };
        let message = alone.files(&work(), &bundle()).unwrap_err().to_string();
        assert!(
            message.contains("--claim") && message.contains("s3://"),
            "{message}"
        );
        let mut folder = work();
        folder.store = Some("/nfs/a".into());
        let message = kubernetes()
            .files(&folder, &bundle())
            .unwrap_err()
            .to_string();
        assert!(message.contains("leave --store out"), "{message}");
        let wrong = Kubernetes {
            secret: Some("My_Secret".into()),
            ..kubernetes()
        };
        let message = wrong.files(&work(), &bundle()).unwrap_err().to_string();
        assert!(message.starts_with("--secret: `My_Secret`"), "{message}");
        let message = Kubernetes::default().files(&work(), &bundle()).unwrap_err();
        assert!(message.to_string().starts_with("--image"), "{message}");
    }
}
