//! What to ask, and how often.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Defaults as Kubernetes has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// Between the container's start and the first check.
    pub delay: Duration,
    pub patience: Duration,
    pub period: Duration,
    pub success: u32,
    pub failure: u32,
}

impl Rhythm {
    pub fn of(probe: &Probe) -> Rhythm {
        let number = |given: Option<i32>, default: u32, least: u32| {
            let given = given.map(|number| u32::try_from(number).unwrap_or(0));
            given.unwrap_or(default).max(least)
        };
        let seconds =
            |given, default, least| Duration::from_secs(number(given, default, least).into());
        Rhythm {
            delay: seconds(probe.initial_delay_seconds, 0, 0),
            patience: seconds(probe.timeout_seconds, 1, 1),
            period: seconds(probe.period_seconds, 10, 1),
            success: number(probe.success_threshold, 1, 1),
            failure: number(probe.failure_threshold, 3, 1),
        }
    }
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Address(IpAddr, u16),
    Name(String, u16),
}

impl Target {
    fn new(host: Option<&str>, pod: IpAddr, port: u16) -> Target {
        match host.filter(|host| !host.is_empty()) {
            None => Target::Address(pod, port),
            Some(host) => match host.parse() {
                Ok(ip) => Target::Address(ip, port),
                Err(_) => Target::Name(host.to_owned(), port),
            },
        }
    }

    pub fn host(&self) -> String {
        match self {
            Target::Address(ip @ IpAddr::V6(_), _) => format!("[{ip}]"),
            Target::Address(ip, _) => ip.to_string(),
            Target::Name(name, _) => name.clone(),
        }
    }

    pub fn port(&self) -> u16 {
        let (Target::Address(_, port) | Target::Name(_, port)) = self;
        *port
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host(), self.port())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    Http(HttpCheck),
    Tcp(Target),
    Grpc { target: Target, service: String },
    Exec(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    pub tls: bool,
    pub target: Target,
    /// With its query.
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl fmt::Display for HttpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.target, self.path)
    }
}

impl Check {
    /// # Errors
    /// Says what of it makes no sense: a port name that the container has not, for one.
    pub fn of_probe(probe: &Probe, container: &Container, pod: IpAddr) -> Result<Check, String> {
        let Probe {
            exec,
            http_get,
            tcp_socket,
            grpc,
            ..
        } = probe;
        match (exec, http_get, tcp_socket, grpc) {
            (Some(exec), ..) => Ok(of_exec(exec)),
            (_, Some(get), ..) => of_http(get, container, pod),
            (_, _, Some(tcp), _) => of_tcp(tcp, container, pod),
            (_, _, _, Some(grpc)) => of_grpc(grpc, pod),
            _ => Err(format!(
                "a probe of container {} checks nothing",
                container.name
            )),
        }
    }

    /// A hook's action; `None` for one that only sleeps, or does nothing.
    pub fn of_hook(
        hook: &LifecycleHandler,
        container: &Container,
        pod: IpAddr,
    ) -> Result<Option<Check>, String> {
        match (&hook.exec, &hook.http_get, &hook.tcp_socket) {
            (Some(exec), ..) => Ok(Some(of_exec(exec))),
            (_, Some(get), _) => of_http(get, container, pod).map(Some),
            (_, _, Some(tcp)) => of_tcp(tcp, container, pod).map(Some),
            _ => Ok(None),
        }
    }
}

fn of_exec(exec: &ExecAction) -> Check {
    Check::Exec(exec.command.clone().unwrap_or_default())
}

fn of_http(get: &HTTPGetAction, container: &Container, pod: IpAddr) -> Result<Check, String> {
    let path = get.path.as_deref().unwrap_or("/");
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    let tls = get.scheme.as_deref() == Some("HTTPS");
    let headers = get.http_headers.iter().flatten();
    Ok(Check::Http(HttpCheck {
        tls,
        target: Target::new(get.host.as_deref(), pod, port(&get.port, container)?),
        path,
        headers: headers.map(|h| (h.name.clone(), h.value.clone())).collect(),
    }))
}

fn of_tcp(tcp: &TCPSocketAction, container: &Container, pod: IpAddr) -> Result<Check, String> {
    let port = port(&tcp.port, container)?;
    Ok(Check::Tcp(Target::new(tcp.host.as_deref(), pod, port)))
}

fn of_grpc(grpc: &GRPCAction, pod: IpAddr) -> Result<Check, String> {
    let port = u16::try_from(grpc.port).map_err(|_| format!("{} is no port", grpc.port))?;
    Ok(Check::Grpc {
        target: Target::Address(pod, port),
        service: grpc.service.clone().unwrap_or_default(),
    })
}

fn port(given: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match given {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            match ports.find(|port| port.name.as_ref() == Some(name)) {
                Some(port) => port.container_port,
                None => name.parse().map_err(|_| {
                    format!("container {} has no port named {name:?}", container.name)
                })?,
            }
        }
    };
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{number} is no port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn container() -> Container {
        serde_json::from_value(json!({
            "name": "web", "ports": [{"name": "http", "containerPort": 8080}],
        }))
        .unwrap()
    }

    fn check(probe: serde_json::Value) -> Result<Check, String> {
        let probe: Probe = serde_json::from_value(probe).unwrap();
        Check::of_probe(&probe, &container(), "10.244.0.2".parse().unwrap())
    }

    #[test]
    fn a_named_port_is_the_containers() {
        let Check::Http(http) =
            check(json!({"httpGet": {"port": "http", "path": "a?b=c"}})).unwrap()
        else {
            panic!("HTTP");
        };
        assert_eq!(http.to_string(), "http://10.244.0.2:8080/a?b=c");
        let error = check(json!({"tcpSocket": {"port": "smtp"}})).unwrap_err();
        assert!(error.contains("smtp"), "{error}");
    }

    #[test]
    fn defaults_are_kubernetes_own() {
        let rhythm = Rhythm::of(&Probe::default());
        assert_eq!(
            rhythm,
            Rhythm {
                delay: Duration::ZERO,
                patience: Duration::from_secs(1),
                period: Duration::from_secs(10),
                success: 1,
                failure: 3,
            }
        );
    }
}
