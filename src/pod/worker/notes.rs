//! The events of one pod, worded as the kubelet words them (pkg/kubelet/events):
//! people search for these words.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::cluster::{About, Note, Recorder};

#[derive(Clone)]
pub struct Notes {
    events: Recorder,
    pod: Arc<Pod>,
}

impl Notes {
    pub fn new(events: Recorder, pod: Arc<Pod>) -> Notes {
        Notes { events, pod }
    }

    /// The object as it is now.
    pub fn about(&mut self, pod: Arc<Pod>) {
        self.pod = pod;
    }

    pub fn pulled(&self, container: &str, image: &str) {
        let message = format!("Container image {image:?} already present on machine");
        self.normal(container, "Pulled", message);
    }

    pub fn started(&self, container: &str) {
        self.normal(
            container,
            "Created",
            format!("Created container: {container}"),
        );
        self.normal(
            container,
            "Started",
            format!("Started container {container}"),
        );
    }

    pub fn not_started(&self, container: &str, why: &str) {
        self.normal(
            container,
            "Created",
            format!("Created container: {container}"),
        );
        self.warning(
            container,
            "Failed",
            format!("Error: failed to start container {container:?}: {why}"),
        );
    }

    /// It could not be made: `reason` is where it waits then.
    pub fn failed(&self, container: &str, image: &str, reason: &'static str, message: &str) {
        for note in of_failure(image, reason, message) {
            self.record(Some(container), note.warning, note.reason, note.message);
        }
    }

    pub fn mount_failed(&self, message: &str) {
        self.record(None, true, "FailedMount", message.to_owned());
    }

    pub fn stopping(&self, container: &str) {
        self.normal(
            container,
            "Killing",
            format!("Stopping container {container}"),
        );
    }

    pub fn condemned(&self, container: &str, why: &str) {
        let message = format!("Container {container} {why}, will be restarted");
        self.normal(container, "Killing", message);
    }

    pub fn image_changed(&self, container: &str) {
        let message = format!("Container {container} definition changed, will be restarted");
        self.normal(container, "Killing", message);
    }

    pub fn crash_back_off(&self, container: &str, pod: &str) {
        let message = format!("Back-off restarting failed container {container} in pod {pod}");
        self.warning(container, "BackOff", message);
    }

    pub fn pull_back_off(&self, container: &str, image: &str) {
        self.normal(
            container,
            "BackOff",
            format!("Back-off pulling image {image:?}"),
        );
        self.warning(container, "Failed", "Error: ImagePullBackOff".to_owned());
    }

    pub fn deadline_exceeded(&self) {
        let message = "Pod was active on the node longer than the specified deadline";
        self.record(None, false, "DeadlineExceeded", message.to_owned());
    }

    /// `hook` begins the message.
    pub fn hook_failed(&self, container: &str, reason: &'static str, hook: &str, why: &str) {
        self.warning(container, reason, format!("{hook} failed: {why}"));
    }

    /// `kind` is `Liveness` and the like, `how` is `failed` or `errored`.
    pub fn unhealthy(&self, container: &str, kind: &str, how: &str, why: &str) {
        self.warning(container, "Unhealthy", format!("{kind} probe {how}: {why}"));
    }

    pub fn probe_warning(&self, container: &str, kind: &str, why: &str) {
        self.warning(
            container,
            "ProbeWarning",
            format!("{kind} probe warning: {why}"),
        );
    }

    fn normal(&self, container: &str, reason: &'static str, message: String) {
        self.record(Some(container), false, reason, message);
    }

    fn warning(&self, container: &str, reason: &'static str, message: String) {
        self.record(Some(container), true, reason, message);
    }

    fn record(
        &self,
        container: Option<&str>,
        warning: bool,
        reason: &'static str,
        message: String,
    ) {
        let about = About {
            pod: Arc::clone(&self.pod),
            field: container.map(|name| self.field(name)),
        };
        let note = Note {
            warning,
            reason,
            message,
        };
        self.events.record(about, note);
    }

    fn field(&self, container: &str) -> String {
        let spec = self.pod.spec.as_ref();
        let mut init = spec
            .into_iter()
            .flat_map(|spec| spec.init_containers.iter().flatten());
        match init.any(|init| init.name == container) {
            true => format!("spec.initContainers{{{container}}}"),
            false => format!("spec.containers{{{container}}}"),
        }
    }
}

/// What the kubelet says of a container that it cannot make (`pkg/kubelet/images`). There is no
/// registry; an image that is not there is one that was not to be had from one.
fn of_failure(image: &str, reason: &'static str, message: &str) -> Vec<Note> {
    let normal = |reason, message| Note {
        warning: false,
        reason,
        message,
    };
    let warning = |reason, message| Note {
        warning: true,
        reason,
        message,
    };
    let failed = |why: &str| warning("Failed", format!("Error: {why}"));
    match reason {
        "ErrImagePull" => vec![
            normal("Pulling", format!("Pulling image {image:?}")),
            warning(
                "Failed",
                format!("Failed to pull image {image:?}: {message}"),
            ),
            failed(reason),
        ],
        "ErrImageNeverPull" => vec![warning(reason, message.to_owned()), failed(reason)],
        "InvalidImageName" => vec![
            warning(
                "InspectFailed",
                format!("Failed to apply default image tag {image:?}: {message}"),
            ),
            failed(reason),
        ],
        "FailedMount" => vec![warning(reason, message.to_owned())],
        _ => vec![failed(message)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_cannot_be_had_is_told_as_the_kubelet_tells_it() {
        let told = |reason| {
            let notes = of_failure("a:1", reason, "no").into_iter();
            notes
                .map(|note| (note.warning, note.reason, note.message))
                .collect::<Vec<_>>()
        };
        let note = |warning, reason, message: &str| (warning, reason, message.to_owned());
        assert_eq!(
            told("ErrImagePull"),
            [
                note(false, "Pulling", "Pulling image \"a:1\""),
                note(true, "Failed", "Failed to pull image \"a:1\": no"),
                note(true, "Failed", "Error: ErrImagePull"),
            ]
        );
        assert_eq!(
            told("ErrImageNeverPull"),
            [
                note(true, "ErrImageNeverPull", "no"),
                note(true, "Failed", "Error: ErrImageNeverPull"),
            ]
        );
        assert_eq!(
            told("InvalidImageName"),
            [
                note(
                    true,
                    "InspectFailed",
                    "Failed to apply default image tag \"a:1\": no"
                ),
                note(true, "Failed", "Error: InvalidImageName"),
            ]
        );
    }
}
