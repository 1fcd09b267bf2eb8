//! Texts and templates that nobody would think of: both tools print the same.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, json};

use super::printed::Differences;
use super::{Tool, place, world};

const TEXTS: usize = 300;
const TEMPLATES: usize = 40;

/// The same ones in every run.
fn drawn<T>(strategy: &impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    let mut draw = || strategy.new_tree(&mut runner).unwrap().current();
    (0..count).map(|_| draw()).collect()
}

#[tokio::test]
async fn any_text_is_printed_as_kubectl_prints_it() {
    let Some((_lab, kubectl)) = place().await else {
        return;
    };
    let text = prop_oneof![
        "[a-z0-9:# '\"\\\\\n\t.,_-]{0,12}",
        "[ \n]{0,3}[a-z :#]{0,9}[ \n]{0,3}",
        "([a-z'\":]{1,9} {1,2}){10,30}",
        "[0-9.eExXob:+_T Z-]{1,9}",
        "(y|Y|no|NO|No|nO|true|TRUE|tRUE|null|~|on|Off|<<|\\.nan|-?\\.inf|0x1F|1_000|1e3|2026-1-2)",
        "[!&*?|>%@`{}\\[\\],-][ a-z]{0,4}",
        "[\u{a0}-\u{2ff}\u{1f600}-\u{1f610}\u{0}-\u{1f}a ]{0,8}",
    ];
    let key = "[a-zA-Z][a-zA-Z._-]{0,5}[1-9]{0,2}";
    let mut data = Map::new();
    for (key, text) in drawn(&(key, text), TEXTS) {
        data.insert(key, text.into());
    }
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": data});
    let file = kubectl.file("texts.json", &map);
    kubectl.ok(&["create", "-f", &file]).await;
    let mut differences = Differences::default();
    for line in [
        "get cm texts -o yaml",
        "get cm texts -o json",
        "get cm texts -o jsonpath={.data}",
    ] {
        let theirs = Tool::Kubectl(&kubectl).run(line).await;
        let ours = Tool::Podnet(&kubectl).run(line).await;
        differences.compare(line, &theirs, &ours);
    }
    differences.are_none(3);
}

/// A path as people write them, and some that lead nowhere.
fn template() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec![
        ".metadata",
        ".name",
        ".labels",
        ".app",
        ".spec",
        ".containers",
        ".ports",
        ".containerPort",
        ".status",
        ".podIPs",
        ".ip",
        ".containerStatuses",
        ".restartCount",
        ".missing",
        "['name']",
    ]);
    let index = prop::sample::select(vec![
        "[0]",
        "[-1]",
        "[*]",
        "[0:2]",
        "[:1]",
        "[::2]",
        "[-2:]",
        "[7]",
        "[0,1]",
        "[1:1]",
        "[?(@.name==\"main\")]",
        "[?(@.restartCount>1)]",
        "[?(@.containerPort<=80)]",
        "[?(@.missing)]",
        "[?(@.name!='side')]",
    ]);
    let well_begun = prop::sample::select(vec![
        "",
        ".spec.containers",
        ".status.containerStatuses",
        ".spec.containers[0].ports",
        ".metadata.labels",
    ]);
    let step = prop_oneof![3 => field, 2 => index];
    let path = (well_begun, prop::collection::vec(step, 0..3))
        .prop_map(|(begun, steps)| format!("{{{begun}{}}}", steps.concat()))
        .prop_filter("all of it is not a path", |path| path != "{}");
    let ranged = prop::sample::select(vec![
        ".spec.containers[*]",
        ".status.podIPs[*]",
        ".missing[*]",
    ]);
    let ranged =
        (ranged, path.clone()).prop_map(|(over, path)| format!("<{{range {over}}}{path},{{end}}>"));
    prop_oneof![3 => path, 1 => ranged]
}

#[tokio::test]
async fn any_template_finds_what_kubectl_finds() {
    let Some((lab, kubectl)) = place().await else {
        return;
    };
    world::fill(&lab, &kubectl).await;
    let mut wrong = Vec::new();
    for template in drawn(&template(), TEMPLATES) {
        let line = format!("get pod web -o 'jsonpath={}'", template.replace('\'', "\""));
        let (theirs, ours) = (Tool::Kubectl(&kubectl), Tool::Podnet(&kubectl));
        let (theirs, ours) = tokio::join!(theirs.run(&line), ours.run(&line));
        // What is in a map comes in any order; and of a failure, kubectl prints its insides.
        let words = |text: &str| {
            let mut words: Vec<String> = text.split([' ', ',']).map(str::to_owned).collect();
            words.sort();
            words
        };
        let same = match theirs.code {
            Some(0) => ours.code == Some(0) && words(&theirs.stdout) == words(&ours.stdout),
            code => ours.code == code,
        };
        if !same {
            wrong.push(format!("{line}\nkubectl: {theirs:?}\npodnet:  {ours:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} templates:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
