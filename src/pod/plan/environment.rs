//! A container's environment.

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar};

use crate::pod::image::Image;

use super::expand::expand;
use super::{ConfigError, NodeFacts, PodFacts, field};

/// Docker's.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the pod's author says, in his order; `$(NAME)` means these.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    own: Vec<(String, String)>,
}

impl Environment {
    pub fn of(
        pod: &PodFacts,
        container: &Container,
        node: &NodeFacts,
    ) -> Result<Environment, ConfigError> {
        let mut environment = Environment::default();
        for source in container.env_from.iter().flatten() {
            environment.add_all(pod, container, source)?;
        }
        for variable in container.env.iter().flatten() {
            if let Some(value) = environment.value(pod, container, node, variable)? {
                environment.set(&variable.name, value);
            }
        }
        Ok(environment)
    }

    pub fn own(&self, name: &str) -> Option<&str> {
        let found = self.own.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// `KEY=VALUE`, each key once: Docker's path, the host name and the home below what the
    /// image says, and that below what the author says.
    pub fn complete(&self, image: &Image, hostname: &str, home: &str, tty: bool) -> Vec<String> {
        let mut all = Environment::default();
        all.set("PATH", DEFAULT_PATH.to_owned());
        all.set("HOSTNAME", hostname.to_owned());
        all.set("HOME", home.to_owned());
        if tty {
            all.set("TERM", "xterm".to_owned());
        }
        let of_image = image.env.iter().filter_map(|pair| pair.split_once('='));
        for (key, value) in of_image {
            all.set(key, value.to_owned());
        }
        for (key, value) in &self.own {
            all.set(key, value.clone());
        }
        let sound = |text: &String| !text.contains('\0');
        let pairs = all.own.iter().map(|(key, value)| format!("{key}={value}"));
        pairs.filter(sound).collect()
    }

    fn set(&mut self, name: &str, value: String) {
        match self.own.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.own.push((name.to_owned(), value)),
        }
    }

    /// `None`: it comes from something optional that is not there.
    fn value(
        &self,
        pod: &PodFacts,
        container: &Container,
        node: &NodeFacts,
        variable: &EnvVar,
    ) -> Result<Option<String>, ConfigError> {
        let Some(from) = &variable.value_from else {
            let text = variable.value.as_deref().unwrap_or_default();
            return Ok(Some(expand(text, |name| self.own(name))));
        };
        if let Some(reference) = &from.field_ref {
            return field::value(pod, node, &reference.field_path).map(Some);
        }
        if let Some(reference) = &from.config_map_key_ref {
            let optional = reference.optional == Some(true);
            let Some(config_map) = pod.config_maps.get(&reference.name) else {
                return missing(pod, &reference.name, optional);
            };
            return match config_map.data.get(&reference.key) {
                Some(value) => Ok(Some(value.clone())),
                None if optional => Ok(None),
                None => Err(ConfigError::NoKey {
                    namespace: pod.namespace().to_owned(),
                    name: reference.name.clone(),
                    key: reference.key.clone(),
                }),
            };
        }
        let what = if from.secret_key_ref.is_some() {
            "a secretKeyRef"
        } else {
            "this source of a value"
        };
        Err(unsupported(container, &variable.name, what))
    }

    fn add_all(
        &mut self,
        pod: &PodFacts,
        container: &Container,
        source: &EnvFromSource,
    ) -> Result<(), ConfigError> {
        let Some(reference) = &source.config_map_ref else {
            return Err(unsupported(
                container,
                "envFrom",
                "a source other than a ConfigMap",
            ));
        };
        let Some(config_map) = pod.config_maps.get(&reference.name) else {
            let optional = reference.optional == Some(true);
            return missing(pod, &reference.name, optional).map(|_| ());
        };
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for (key, value) in &config_map.data {
            if !key.is_empty() && !key.contains('=') {
                self.set(&format!("{prefix}{key}"), value.clone());
            }
        }
        Ok(())
    }
}

fn missing(pod: &PodFacts, name: &str, optional: bool) -> Result<Option<String>, ConfigError> {
    if optional {
        return Ok(None);
    }
    Err(ConfigError::NoConfigMap {
        namespace: pod.namespace().to_owned(),
        name: name.to_owned(),
    })
}

fn unsupported(container: &Container, variable: &str, what: &str) -> ConfigError {
    ConfigError::Unsupported {
        object: format!("container {:?}, environment {variable:?}", container.name),
        what: what.to_owned(),
        instead: "use value, fieldRef, configMapKeyRef or configMapRef",
    }
}
