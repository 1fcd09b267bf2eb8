//! Containers of a pod, or of a template for pods.

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, ContainerState, ContainerStatus, EnvVar, Pod, Probe,
    ResourceRequirements, SeccompProfile,
};

use super::writer::{
    Quantities, Text, Writer, all, date, int_or_string, or_none, quantity, yes_or_no,
};
use crate::server::Quantity;

/// Where containers stand.
pub struct Place<'a> {
    pub title: &'a str,
    /// What stands before the title: a template is a step in.
    pub indent: &'a str,
    /// The pod whose fields variables refer to; `None` for a template.
    pub pod: Option<&'a Pod>,
}

pub fn write(
    w: &mut Writer,
    place: &Place<'_>,
    containers: &[Container],
    statuses: &[ContainerStatus],
) {
    let none = if containers.is_empty() { " <none>" } else { "" };
    w.line(0, format!("{}{}:{none}", place.indent, place.title));
    // In a template, the name is half a step further in.
    let name_indent = if place.indent.is_empty() { "" } else { " " };
    for container in containers {
        let status = statuses.iter().find(|status| status.name == container.name);
        w.line(1, format!("{name_indent}{}:", container.name));
        basics(w, container, status);
        for (title, lines) in [("Command", &container.command), ("Args", &container.args)] {
            let Some(lines) = lines.as_ref().filter(|lines| !lines.is_empty()) else {
                continue;
            };
            w.line(2, format!("{title}:"));
            lines
                .iter()
                .flat_map(|text| text.split('\n'))
                .for_each(|line| w.line(3, line));
        }
        if let Some(status) = status {
            life(w, status);
        }
        if let Some(resources) = &container.resources {
            requirements(w, 2, resources);
        }
        for (title, probe) in [
            ("Liveness", &container.liveness_probe),
            ("Readiness", &container.readiness_probe),
            ("Startup", &container.startup_probe),
        ] {
            w.given(2, title, probe.as_ref().map(self::probe));
        }
        environment(w, place, container);
        mounts(w, container);
    }
}

fn basics(w: &mut Writer, container: &Container, status: Option<&ContainerStatus>) {
    w.given(
        2,
        "Container ID",
        status.map(|status| status.container_id.text()),
    );
    w.field(2, "Image", container.image.text());
    w.given(2, "Image ID", status.map(|status| &status.image_id));
    let port = |port: &ContainerPort| Some(port.container_port);
    let host_port = |port: &ContainerPort| port.host_port;
    ports(w, "Port", all(&container.ports), port);
    ports(w, "Host Port", all(&container.ports), host_port);
    let security = container.security_context.as_ref();
    if let Some(profile) = security.and_then(|security| security.seccomp_profile.as_ref()) {
        seccomp(w, 2, profile);
    }
}

pub fn seccomp(w: &mut Writer, level: usize, profile: &SeccompProfile) {
    w.field(level, "SeccompProfile", &profile.type_);
    if profile.type_ == "Localhost" {
        let level = if level == 0 { 0 } else { level + 1 };
        w.field(level, "LocalhostProfile", profile.localhost_profile.text());
    }
}

/// Several are `Ports`.
fn ports(
    w: &mut Writer,
    title: &str,
    ports: &[ContainerPort],
    number: impl Fn(&ContainerPort) -> Option<i32>,
) {
    let text =
        |port: &ContainerPort| format!("{}/{}", number(port).unwrap_or(0), port.protocol.text());
    let texts: Vec<String> = ports.iter().map(text).collect();
    let several = if texts.len() > 1 { "s" } else { "" };
    w.field(2, &format!("{title}{several}"), or_none(&texts.join(", ")));
}

fn life(w: &mut Writer, status: &ContainerStatus) {
    state(w, "State", status.state.as_ref());
    let last = status
        .last_state
        .as_ref()
        .filter(|last| last.terminated.is_some());
    if last.is_some() {
        state(w, "Last State", last);
    }
    w.field(2, "Ready", yes_or_no(status.ready));
    w.field(2, "Restart Count", status.restart_count);
}

fn state(w: &mut Writer, title: &str, state: Option<&ContainerState>) {
    let reason = |w: &mut Writer, reason: &Option<String>| {
        w.given(
            3,
            "Reason",
            Some(reason.text()).filter(|text| !text.is_empty()),
        );
    };
    let running = state.and_then(|state| state.running.as_ref());
    let terminated = state.and_then(|state| state.terminated.as_ref());
    if let Some(running) = running {
        w.field(2, title, "Running");
        w.field(3, "Started", date(running.started_at.as_ref()));
    } else if let Some(terminated) = terminated {
        w.field(2, title, "Terminated");
        reason(w, &terminated.reason);
        let message = Some(terminated.message.text()).filter(|text| !text.is_empty());
        w.given(3, "Message", message);
        w.field(3, "Exit Code", terminated.exit_code);
        w.given(3, "Signal", terminated.signal.filter(|signal| *signal > 0));
        w.field(3, "Started", date(terminated.started_at.as_ref()));
        w.field(3, "Finished", date(terminated.finished_at.as_ref()));
    } else {
        w.field(2, title, "Waiting");
        if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
            reason(w, &waiting.reason);
        }
    }
}

pub fn requirements(w: &mut Writer, level: usize, resources: &ResourceRequirements) {
    for (title, quantities) in [
        ("Limits", &resources.limits),
        ("Requests", &resources.requests),
    ] {
        let Some(quantities) = quantities.as_ref().filter(|map| !map.is_empty()) else {
            continue;
        };
        w.line(level, format!("{title}:"));
        for (name, written) in quantities {
            w.field(level + 1, name, quantity(written));
        }
    }
}

fn probe(probe: &Probe) -> String {
    let number = |value: Option<i32>| value.unwrap_or(0);
    let times = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number(probe.initial_delay_seconds),
        number(probe.timeout_seconds),
        number(probe.period_seconds),
        number(probe.success_threshold),
        number(probe.failure_threshold)
    );
    if let Some(exec) = &probe.exec {
        return format!("exec [{}] {times}", all(&exec.command).join(" "));
    }
    if let Some(get) = &probe.http_get {
        let host = get.host.text();
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let path = get.path.text();
        let slash = if path.is_empty() || path.starts_with('/') {
            ""
        } else {
            "/"
        };
        let scheme = get.scheme.text().to_lowercase();
        let port = int_or_string(&get.port);
        return format!("http-get {scheme}://{host}:{port}{slash}{path} {times}");
    }
    if let Some(tcp) = &probe.tcp_socket {
        return format!(
            "tcp-socket {}:{} {times}",
            tcp.host.text(),
            int_or_string(&tcp.port)
        );
    }
    match &probe.grpc {
        Some(grpc) => format!("grpc <pod>:{} {} {times}", grpc.port, grpc.service.text()),
        None => format!("unknown {times}"),
    }
}

fn environment(w: &mut Writer, place: &Place<'_>, container: &Container) {
    let from = all(&container.env_from);
    if !from.is_empty() {
        w.line(2, "Environment Variables from:");
    }
    for source in from {
        let map = source.config_map_ref.as_ref();
        let map = map.map(|map| ("ConfigMap", &map.name, map.optional));
        let secret = source.secret_ref.as_ref();
        let secret = secret.map(|secret| ("Secret", &secret.name, secret.optional));
        let Some((kind, name, optional)) = map.or(secret) else {
            continue;
        };
        let prefix = match source.prefix.text() {
            "" => String::new(),
            prefix => format!(" with prefix '{prefix}'"),
        };
        w.line(
            3,
            format!(
                "{name}\t{kind}{prefix}\tOptional: {}",
                optional.unwrap_or(false)
            ),
        );
    }
    let variables = all(&container.env);
    if variables.is_empty() {
        return w.field(2, "Environment", "<none>");
    }
    w.line(2, "Environment:");
    for variable in variables {
        self::variable(w, place, container, variable);
    }
}

fn variable(w: &mut Writer, place: &Place<'_>, container: &Container, variable: &EnvVar) {
    let name = &variable.name;
    let Some(from) = &variable.value_from else {
        for (index, line) in variable.value.text().split('\n').enumerate() {
            match index {
                0 => w.field(3, name, line),
                _ => w.line(3, format!("\t{line}")),
            }
        }
        return;
    };
    let optional = |optional: Option<bool>| optional.unwrap_or(false);
    if let Some(field) = &from.field_ref {
        let value = place
            .pod
            .map(|pod| field_of(pod, &field.field_path))
            .unwrap_or_default();
        let version = field.api_version.text();
        w.field(3, name, format!("{value} ({version}:{})", field.field_path));
    } else if let Some(resource) = &from.resource_field_ref {
        let what = &resource.resource;
        let divisor = resource
            .divisor
            .as_ref()
            .and_then(|written| Quantity::parse(&written.0));
        let value = resource_of(container, what, divisor);
        w.field(3, name, format!("{value} ({what})"));
    } else if let Some(key) = &from.secret_key_ref {
        let text = format!("<set to the key '{}' in secret '{}'>", key.key, key.name);
        w.field(
            3,
            name,
            format!("{text}\tOptional: {}", optional(key.optional)),
        );
    } else if let Some(key) = &from.config_map_key_ref {
        let text = format!(
            "<set to the key '{}' of config map '{}'>",
            key.key, key.name
        );
        w.field(
            3,
            name,
            format!("{text}\tOptional: {}", optional(key.optional)),
        );
    }
}

/// Only what is certain from the metadata is shown.
fn field_of(pod: &Pod, path: &str) -> String {
    let metadata = &pod.metadata;
    match path {
        "metadata.name" => metadata.name.text(),
        "metadata.namespace" => metadata.namespace.text(),
        "metadata.uid" => metadata.uid.text(),
        _ => "",
    }
    .to_owned()
}

/// In units of `divisor`, rounded up.
fn resource_of(container: &Container, what: &str, divisor: Option<Quantity>) -> String {
    let (kind, name) = what.split_once('.').unwrap_or((what, ""));
    let resources = container.resources.as_ref();
    let quantities: Option<&Quantities> = resources.and_then(|resources| match kind {
        "limits" => resources.limits.as_ref(),
        _ => resources.requests.as_ref(),
    });
    let value = quantities
        .and_then(|map| Quantity::parse(&map.get(name)?.0))
        .unwrap_or_default();
    let times = value.times(divisor.unwrap_or_default());
    match times {
        0 if matches!(what, "limits.cpu" | "limits.memory") => "node allocatable".to_owned(),
        times => times.to_string(),
    }
}

fn mounts(w: &mut Writer, container: &Container) {
    let mut mounts: Vec<_> = all(&container.volume_mounts).iter().collect();
    mounts.sort_by_key(|mount| &mount.mount_path);
    match mounts.is_empty() {
        true => w.field(2, "Mounts", "<none>"),
        false => w.line(2, "Mounts:"),
    }
    for mount in mounts {
        let mut flags = if mount.read_only == Some(true) {
            "ro"
        } else {
            "rw"
        }
        .to_owned();
        if !mount.sub_path.text().is_empty() {
            flags += &format!(",path={:?}", mount.sub_path.text());
        }
        w.line(
            3,
            format!("{} from {} ({flags})", mount.mount_path, mount.name),
        );
    }
}
