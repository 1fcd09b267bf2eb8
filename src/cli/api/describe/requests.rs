//! What pods ask for, added up.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::writer::{Quantities, all};
use crate::server::Quantity;

/// By the name of the resource.
#[derive(Clone, Debug, Default)]
pub struct Sum(BTreeMap<String, Quantity>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Requests,
    Limits,
}

impl Sum {
    pub fn of(&self, name: &str) -> Quantity {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub fn add(&mut self, other: &Sum) {
        for (name, quantity) in &other.0 {
            *self.0.entry(name.clone()).or_default() += *quantity;
        }
    }

    fn at_least(&mut self, other: &Sum) {
        for (name, quantity) in &other.0 {
            let mine = self.0.entry(name.clone()).or_default();
            if *quantity > *mine {
                *mine = *quantity;
            }
        }
    }

    pub fn written(quantities: Option<&Quantities>) -> Sum {
        let quantities = quantities.into_iter().flatten();
        Sum(quantities
            .filter_map(|(name, written)| Some((name.clone(), Quantity::parse(&written.0)?)))
            .collect())
    }

    fn container(container: &Container, which: Which) -> Sum {
        let resources = container.resources.as_ref();
        Sum::written(resources.and_then(|resources| match which {
            Which::Requests => resources.requests.as_ref(),
            Which::Limits => resources.limits.as_ref(),
        }))
    }

    /// The most that its containers need at one time: all of them, or an init container with
    /// those beside it that go on.
    pub fn pod(pod: &Pod, which: Which) -> Sum {
        let Some(spec) = &pod.spec else {
            return Sum::default();
        };
        let mut sum = Sum::default();
        for container in &spec.containers {
            sum.add(&Sum::container(container, which));
        }
        let (mut going_on, mut while_starting) = (Sum::default(), Sum::default());
        for container in all(&spec.init_containers) {
            let mut now = Sum::container(container, which);
            if container.restart_policy.as_deref() == Some("Always") {
                sum.add(&now);
                going_on.add(&now);
                now = going_on.clone();
            } else {
                now.add(&going_on);
            }
            while_starting.at_least(&now);
        }
        sum.at_least(&while_starting);
        let mut overhead = Sum::written(spec.overhead.as_ref());
        if which == Which::Limits {
            overhead.0.retain(|name, _| sum.0.contains_key(name));
        }
        sum.add(&overhead);
        sum
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_runs_at_one_time_counts() {
        let container = |name: &str, cpu: &str| json!({"name": name, "resources": {"requests": {"cpu": cpu}, "limits": {"memory": "1Gi"}}});
        let mut sidecar = container("sidecar", "50m");
        sidecar["restartPolicy"] = json!("Always");
        let pod = json!({"spec": {
            "initContainers": [sidecar, container("large", "1")],
            "containers": [container("a", "100m"), container("b", "200m")],
            "overhead": {"cpu": "10m", "memory": "1Mi"},
        }});
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        let requests = Sum::pod(&pod, Which::Requests);
        assert_eq!(requests.of("cpu").to_string(), "1060m");
        let limits = Sum::pod(&pod, Which::Limits);
        assert_eq!(limits.of("memory").to_string(), "3073Mi");
        assert_eq!(limits.of("cpu").to_string(), "0");
    }
}
