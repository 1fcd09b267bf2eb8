//! What the server tells Prometheus about itself, under Kubernetes' own names where there are such.
//!
//! Counting is cheap and happens where the thing happens; what is a state (objects, memory) is looked
//! up when somebody asks. Labels take their values from the resource table, never from a request, so
//! that no client can make series without end.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::Method;
use hyper::body::Bytes;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use super::request::{Options, ResourceRequest, Verb};
use super::resource::{ALL, Resource};
use super::store::{Backend, Loaded, Store, StoreError};

/// As kube-apiserver's `apiserver_request_duration_seconds`.
const REQUEST_SECONDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
];
/// From half a millisecond to eight seconds.
const COMMIT_SECONDS: [f64; 15] = [
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0, 4.0,
    8.0,
];
const LABELS: [&str; 8] = [
    "verb",
    "dry_run",
    "group",
    "version",
    "resource",
    "subresource",
    "scope",
    "component",
];
/// Of what [`Metrics::render`] writes.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const COMPONENT: &str = "apiserver";

pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    watching: IntGaugeVec,
    commit_seconds: Histogram,
    objects: IntGaugeVec,
    resident_bytes: IntGauge,
}

/// What a request is counted under.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Labels {
    verb: &'static str,
    dry_run: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
}

impl Labels {
    /// Of what is no resource, or of what is not even understood.
    pub fn of_method(method: &Method) -> Labels {
        let verb = match *method {
            Method::GET | Method::HEAD => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        Labels {
            verb,
            ..Labels::default()
        }
    }

    /// `resource` is `None` for one that is not served.
    pub fn of(
        request: &ResourceRequest,
        options: &Options,
        resource: Option<&'static Resource>,
    ) -> Labels {
        let subresource = resource
            .into_iter()
            .flat_map(|resource| resource.subresources)
            .map(|one| one.name())
            .find(|name| request.subresource.as_deref() == Some(*name));
        Labels {
            verb: match request.verb {
                Verb::Get => "GET",
                Verb::List => "LIST",
                Verb::Watch => "WATCH",
                Verb::Create => "POST",
                Verb::Update => "PUT",
                Verb::Patch => "PATCH",
                Verb::Delete => "DELETE",
                Verb::DeleteCollection => "DELETECOLLECTION",
            },
            dry_run: if options.dry_run { "All" } else { "" },
            group: resource.map_or("", |resource| resource.group),
            version: resource.map_or("", |resource| resource.version),
            resource: resource.map_or("", |resource| resource.plural),
            subresource: subresource.unwrap_or(""),
            scope: match (&request.name, &request.namespace) {
                (Some(_), _) => "resource",
                (None, Some(_)) => "namespace",
                (None, None) => "cluster",
            },
        }
    }

    fn values(&self) -> [&'static str; 8] {
        [
            self.verb,
            self.dry_run,
            self.group,
            self.version,
            self.resource,
            self.subresource,
            self.scope,
            COMPONENT,
        ]
    }
}

/// Counts one watch for as long as it is there.
pub struct Watching(IntGauge);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// # Errors
    /// None: the names are all different and well formed, which a test shows.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let buckets = |name: &str, help: &str, buckets: &[f64]| {
            HistogramOpts::new(name, help).buckets(buckets.to_vec())
        };
        let with_code = [&LABELS[..], &["code"]].concat();
        let metrics = Metrics {
            registry: Registry::new(),
            requests: IntCounterVec::new(
                Opts::new("apiserver_request_total", "Requests answered."),
                &with_code,
            )?,
            request_seconds: HistogramVec::new(
                buckets(
                    "apiserver_request_duration_seconds",
                    "Until an answer began; watches and streams are not among them.",
                    &REQUEST_SECONDS,
                ),
                &LABELS,
            )?,
            watching: IntGaugeVec::new(
                Opts::new("apiserver_longrunning_requests", "Watches that are there."),
                &["verb", "group", "version", "resource", "scope", "component"],
            )?,
            commit_seconds: Histogram::with_opts(buckets(
                "podnet_store_commit_duration_seconds",
                "Until a group of writes was on disk.",
                &COMMIT_SECONDS,
            ))?,
            objects: IntGaugeVec::new(
                Opts::new("apiserver_storage_objects", "Objects in the store."),
                &["resource"],
            )?,
            resident_bytes: IntGauge::new(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
            )?,
        };
        let started = Gauge::new(
            "process_start_time_seconds",
            "Start time of the server since the Unix epoch in seconds.",
        )?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        started.set(now.unwrap_or_default().as_secs_f64());
        let registry = &metrics.registry;
        registry.register(Box::new(started))?;
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.request_seconds.clone()))?;
        registry.register(Box::new(metrics.watching.clone()))?;
        registry.register(Box::new(metrics.commit_seconds.clone()))?;
        registry.register(Box::new(metrics.objects.clone()))?;
        registry.register(Box::new(metrics.resident_bytes.clone()))?;
        Ok(metrics)
    }

    /// Counts an answer that began after so long.
    pub fn answered(&self, labels: &Labels, code: u16, took: Duration) {
        let values = labels.values();
        let mut digits = [0; 3];
        let [a, b, c, d, e, f, g, h] = values;
        let values_and_code = [a, b, c, d, e, f, g, h, code_text(code, &mut digits)];
        self.requests.with_label_values(&values_and_code).inc();
        let long_running = labels.verb == "WATCH"
            || matches!(
                labels.subresource,
                "log" | "exec" | "attach" | "portforward"
            );
        if !long_running {
            self.request_seconds
                .with_label_values(&values)
                .observe(took.as_secs_f64());
        }
    }

    /// Counts a watch until what is returned is dropped.
    pub fn watching(&self, resource: &Resource, namespace: Option<&str>) -> Watching {
        let scope = match namespace {
            Some(namespace) if !namespace.is_empty() => "namespace",
            _ => "cluster",
        };
        let gauge = self.watching.with_label_values(&[
            "WATCH",
            resource.group,
            resource.version,
            resource.plural,
            scope,
            COMPONENT,
        ]);
        gauge.inc();
        Watching(gauge)
    }

    /// `backend`, whose commits are timed.
    pub fn timed<B>(&self, backend: B) -> Timed<B> {
        Timed {
            backend,
            seconds: self.commit_seconds.clone(),
        }
    }

    /// Everything, in Prometheus' text format 0.0.4.
    ///
    /// # Errors
    /// None that is known: writing to memory does not fail.
    pub fn render(&self, store: &Store) -> Result<Vec<u8>, prometheus::Error> {
        for resource in ALL {
            let count = i64::try_from(store.count(resource)).unwrap_or(i64::MAX);
            let qualified = resource.qualified();
            self.objects.with_label_values(&[&*qualified]).set(count);
        }
        self.resident_bytes.set(resident_bytes());
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// A status code has three digits.
fn code_text(code: u16, digits: &mut [u8; 3]) -> &str {
    for (digit, power) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(code / power % 10).unwrap_or(0);
    }
    std::str::from_utf8(digits).unwrap_or("")
}

/// `VmRSS` of /proc/self/status; 0 where there is none.
fn resident_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0_i64).saturating_mul(1024)
}

pub struct Timed<B> {
    backend: B,
    seconds: Histogram,
}

impl<B: Backend> Backend for Timed<B> {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.backend.load()
    }

    fn commit(
        &mut self,
        revision: u64,
        changes: &[(&str, Option<Bytes>)],
    ) -> Result<(), StoreError> {
        let begun = Instant::now();
        let committed = self.backend.commit(revision, changes);
        self.seconds.observe(begun.elapsed().as_secs_f64());
        committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_can_be_made() {
        assert!(Metrics::new().is_ok());
    }

    #[test]
    fn codes_are_written_as_numbers_are() {
        for code in [100, 200, 404, 429, 599] {
            assert_eq!(code_text(code, &mut [0; 3]), code.to_string());
        }
    }

    #[test]
    fn what_is_not_served_makes_no_series_of_its_own() {
        let options = Options::default();
        let request = ResourceRequest {
            group: "unicorns.example".into(),
            version: "v7".into(),
            resource: "horns".into(),
            namespace: None,
            name: Some("x".into()),
            subresource: Some("y".into()),
            verb: Verb::Get,
        };
        let labels = Labels::of(&request, &options, None);
        assert_eq!(
            labels.values(),
            ["GET", "", "", "", "", "", "resource", COMPONENT]
        );
    }
}
