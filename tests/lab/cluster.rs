//! A lab of one node, seen through its API and its directories.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::place::{Place, eventually};

pub struct Cluster {
    pub place: Place,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Cluster {
    /// `setting` is a line of the lab's file, beside its one node.
    pub fn up(setting: &str) -> Cluster {
        Cluster::up_in(Place::new(), setting)
    }

    pub fn up_in(place: Place, setting: &str) -> Cluster {
        let file = tempfile::Builder::new()
            .suffix(".yaml")
            .tempfile()
            .expect("a file");
        let lab = format!(
            "apiVersion: podnet.dev/v1alpha1\nkind: Lab\nspec:\n  nodes: [{{name: node-1}}]\n  {setting}\n"
        );
        fs::write(file.path(), lab).expect("written");
        let mut readable = fs::metadata(file.path()).expect("there").permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut readable, 0o644);
        fs::set_permissions(file.path(), readable).expect("readable");
        let path = file.path().to_str().expect("text");
        place.ok(&["up", "-f", path]);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let kubeconfig = place.lab("default").join("kubeconfig");
        let client = runtime
            .block_on(podnet::cluster::connect(&kubeconfig))
            .expect("a client");
        Cluster {
            place,
            client,
            runtime,
        }
    }

    fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    pub fn create(&self, pod: Value) {
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        let created = self
            .runtime
            .block_on(self.pods().create(&PostParams::default(), &pod));
        created.expect("created");
    }

    /// `None`: there is none.
    pub fn get(&self, pod: &str) -> Option<Value> {
        let pod = self
            .runtime
            .block_on(self.pods().get_opt(pod))
            .expect("an answer")?;
        Some(serde_json::to_value(pod).expect("JSON"))
    }

    pub fn delete(&self, pod: &str, grace_seconds: Option<u32>) {
        let params = DeleteParams {
            grace_period_seconds: grace_seconds,
            ..DeleteParams::default()
        };
        self.runtime
            .block_on(self.pods().delete(pod, &params))
            .expect("deleted");
    }

    /// A merge: lists are replaced.
    pub fn patch(&self, pod: &str, patch: Value) {
        let pods = self.pods();
        let (patch, params) = (Patch::Merge(patch), PatchParams::default());
        let patched = pods.patch(pod, &params, &patch);
        self.runtime.block_on(patched).expect("patched");
    }

    /// As whoever else than the node writes one.
    pub fn set_condition(&self, pod: &str, kind: &str, status: &str) {
        let (pods, params) = (self.pods(), PatchParams::default());
        eventually("nobody writes meanwhile", || {
            let now = self.get(pod)?;
            let mut conditions = now["status"]["conditions"].as_array()?.clone();
            conditions.retain(|condition| condition["type"] != kind);
            conditions.push(json!({"type": kind, "status": status}));
            let patch = Patch::Merge(json!({
                "metadata": {"resourceVersion": now["metadata"]["resourceVersion"]},
                "status": {"conditions": conditions},
            }));
            let patched = pods.patch_status(pod, &params, &patch);
            match self.runtime.block_on(patched) {
                Err(kube::Error::Api(refused)) if refused.code == 409 => None,
                patched => {
                    patched.expect("patched");
                    Some(())
                }
            }
        });
    }

    /// Makes it, or merges `data` into it.
    pub fn config_map(&self, name: &str, data: Value) {
        let config_maps: Api<ConfigMap> = Api::default_namespaced(self.client.clone());
        let object = json!({"metadata": {"name": name}, "data": data});
        let (patch, params) = (Patch::Merge(&object), PatchParams::default());
        self.runtime.block_on(async {
            let there = config_maps.get_opt(name).await.expect("an answer");
            if there.is_some() {
                let patched = config_maps.patch(name, &params, &patch).await;
                return patched.map(drop).expect("patched");
            }
            let new = serde_json::from_value(object.clone()).expect("a ConfigMap");
            let created = config_maps.create(&PostParams::default(), &new).await;
            created.map(drop).expect("created");
        });
    }

    pub fn uid(&self, pod: &str) -> String {
        let pod = self.get(pod).expect("it is there");
        pod["metadata"]["uid"].as_str().expect("a uid").to_owned()
    }

    pub fn pods_dir(&self) -> PathBuf {
        self.place.lab("default").join("nodes/node-1/pods")
    }

    pub fn pod_dir(&self, pod: &str) -> PathBuf {
        self.pods_dir().join(self.uid(pod))
    }

    /// What a run of a container has said, as it stands in its log; nothing if there is none yet.
    pub fn log(&self, pod: &str, container: &str, attempt: u32) -> String {
        self.log_in(&self.pod_dir(pod), container, attempt)
            .unwrap_or_default()
    }

    pub fn log_in(&self, dir: &Path, container: &str, attempt: u32) -> Option<String> {
        fs::read_to_string(dir.join(format!("logs/{container}/{attempt}.log"))).ok()
    }

    /// The pod, once it is ready.
    pub fn ready(&self, pod: &str) -> Value {
        self.until(pod, "it is ready", |pod| {
            let conditions = pod["status"]["conditions"].as_array()?;
            let ready = conditions.iter().find(|c| c["type"] == "Ready")?;
            (ready["status"] == "True").then(|| pod.clone())
        })
    }

    pub fn phase(&self, pod: &str, phase: &str) -> Value {
        self.until(pod, phase, |pod| {
            (pod["status"]["phase"] == phase).then(|| pod.clone())
        })
    }

    /// The container's status, once it is like that.
    pub fn container(&self, pod: &str, name: &str, like: impl Fn(&Value) -> bool) -> Value {
        self.until(pod, name, |pod| {
            let statuses = pod["status"]["containerStatuses"].as_array()?;
            let status = statuses.iter().find(|status| status["name"] == name)?;
            like(status).then(|| status.clone())
        })
    }

    fn until<T>(&self, pod: &str, what: &str, found: impl Fn(&Value) -> Option<T>) -> T {
        let mut last = None;
        let shown = std::cell::RefCell::new(&mut last);
        let failing = Shown(&shown);
        let answer = eventually(&format!("pod {pod}: {what}"), || {
            let now = self.get(pod);
            let answer = now.as_ref().and_then(&found);
            **shown.borrow_mut() = now;
            answer
        });
        std::mem::forget(failing);
        answer
    }

    pub fn has_event(&self, pod: &str, reason: &str, words: &str) -> bool {
        let events: Api<Event> = Api::default_namespaced(self.client.clone());
        let about =
            ListParams::default().fields(&format!("involvedObject.name={pod},reason={reason}"));
        let events = self.runtime.block_on(events.list(&about)).expect("events");
        let says = |event: &Event| {
            event
                .message
                .as_deref()
                .is_some_and(|text| text.contains(words))
        };
        events.iter().any(says)
    }
}

/// Prints what a pod was like when a test gave up on it.
struct Shown<'a, 'b>(&'a std::cell::RefCell<&'b mut Option<Value>>);

impl Drop for Shown<'_, '_> {
    fn drop(&mut self) {
        if let Some(pod) = self.0.borrow().as_ref() {
            eprintln!("{pod:#}");
        }
    }
}
