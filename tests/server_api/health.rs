//! Health and metrics, as probes and Prometheus read them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kubectl::Kubectl;
use crate::lab::{Lab, eventually, pod};

#[tokio::test]
async fn health_has_its_checks() {
    let lab = Lab::start().await;
    let text = async |path: &str| {
        let request = hyper::Request::get(path).body(Vec::new()).unwrap();
        lab.client.request_text(request).await
    };
    for path in [
        "/healthz",
        "/livez",
        "/readyz",
        "/readyz/ping",
        "/livez/store",
    ] {
        assert_eq!(text(path).await.unwrap(), "ok", "{path}");
    }
    assert_eq!(
        text("/readyz?verbose").await.unwrap(),
        "[+]ping ok\n[+]store ok\n[+]shutdown ok\nreadyz check passed\n"
    );
    assert!(text("/readyz/unicorn").await.is_err());
    let Some(kubectl) = Kubectl::of(&lab).await else {
        return;
    };
    let said = kubectl.ok(&["get", "--raw", "/livez?verbose"]).await;
    assert_eq!(said, "[+]ping ok\n[+]store ok\nlivez check passed\n");
}

/// Metric with its labels, to its value.
type Samples = BTreeMap<String, f64>;

/// Reads Prometheus' text format; fails where it is not.
fn parse(text: &str) -> (BTreeMap<String, String>, Samples) {
    let (mut kinds, mut samples) = (BTreeMap::new(), Samples::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(
                kinds.insert(name.to_owned(), kind.to_owned()).is_none(),
                "{line}"
            );
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect(line);
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| {
                name.strip_suffix(suffix)
                    .filter(|name| kinds.contains_key(*name))
            })
            .unwrap_or(name);
        assert!(kinds.contains_key(family), "{line} has no type");
        let value = value.parse().expect(line);
        assert!(
            samples.insert(series.to_owned(), value).is_none(),
            "{line} twice"
        );
    }
    (kinds, samples)
}

#[tokio::test]
async fn metrics_are_prometheus() {
    let lab = Lab::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    for name in ["a", "b"] {
        assert_eq!(lab.send("POST", pods, pod(name)).await.0, 201);
    }
    lab.send("GET", &format!("{pods}/a"), Value::Null).await;
    lab.send("GET", &format!("{pods}/none"), Value::Null).await;
    lab.send("GET", "/apis/unicorns/v1/horns", Value::Null)
        .await;
    let watch = lab
        .respond("GET", &format!("{pods}?watch=1"), Value::Null)
        .await;

    let (kinds, samples) = parse(&lab.metrics().await);
    let requests = |verb: &str, scope: &str, code: u16| {
        let series = format!(
            "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",dry_run=\"\",group=\"\",\
             resource=\"pods\",scope=\"{scope}\",subresource=\"\",verb=\"{verb}\",version=\"v1\"}}"
        );
        samples.get(&series).copied().unwrap_or(0.0)
    };
    assert_eq!(requests("POST", "namespace", 201), 2.0);
    assert_eq!(requests("GET", "resource", 200), 1.0);
    assert_eq!(requests("GET", "resource", 404), 1.0);
    assert_eq!(samples["apiserver_storage_objects{resource=\"pods\"}"], 2.0);
    assert!(samples["process_resident_memory_bytes"] > 1e6);
    assert!(samples["process_start_time_seconds"] > 1.7e9);
    assert!(samples["podnet_store_commit_duration_seconds_count"] >= 2.0);
    assert_eq!(kinds["apiserver_request_duration_seconds"], "histogram");
    let all = samples
        .keys()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("\n");
    assert!(!all.contains("unicorns"), "a client's own words: {all}");
    for (series, count) in &samples {
        if let Some((name, labels)) = series.split_once("_count{") {
            let labels = labels.trim_end_matches('}');
            let whole = format!("{name}_bucket{{{labels},le=\"+Inf\"}}");
            assert_eq!(samples.get(&whole), Some(count), "{series}");
        }
    }

    let watching = "apiserver_longrunning_requests{component=\"apiserver\",group=\"\",resource=\"pods\",\
                    scope=\"namespace\",verb=\"WATCH\",version=\"v1\"}";
    assert_eq!(samples[watching], 1.0);
    drop(watch);
    eventually("the watch is no longer counted", async || {
        (parse(&lab.metrics().await).1[watching] == 0.0).then_some(())
    })
    .await;
}
