//! Verbs that change nothing.

use super::printed::Differences;
use super::{Tool, place, world};

const GETS: &[&str] = &[
    "get pods",
    "get po -o wide",
    "get pod web",
    "get pod web bare",
    "get pods/web nodes/node-1",
    "get pods,nodes",
    "get pods,nodes --no-headers",
    "get all",
    "get all -A",
    "get all -o name",
    "get pods -A",
    "get pods -A -o wide --show-labels",
    "get pods -n shop",
    "get pods --namespace shop -o name",
    "get pods -n nowhere",
    "get pods,services -n nowhere",
    "get nodes",
    "get no -o wide",
    "get node -l disk=ssd",
    "get node -l '!disk'",
    "get ns",
    "get namespaces --show-labels",
    "get events",
    "get ev -A",
    "get cm,sa,svc,ep,ds,deploy,rs,netpol,leases",
    "get services -o wide",
    "get endpointslices",
    "get networkpolicies.networking.k8s.io",
    "get replicasets.v1.apps set",
    "get controllerrevisions",
    "get pods --no-headers",
    "get pods --show-labels",
    "get pods -L app,tier",
    "get pods -L app -L rel --show-labels",
    "get pods -l app=web",
    "get pods -l app!=web",
    "get pods -l 'app in (web,bare),rel'",
    "get pods -l '!rel' -o name",
    "get pods --field-selector status.phase=Running",
    "get pods --field-selector spec.nodeName=node-1,metadata.name!=web",
    "get pods --sort-by .metadata.name",
    "get pods --sort-by={.metadata.labels.app}",
    "get pods --sort-by .status.phase -o name",
    "get cm --sort-by=.metadata.name -o yaml",
    "get pods -o name",
    "get deployments -o name",
    "get pod nobody",
    "get pod nobody web",
    "get pod nobody nothing -o name",
    "get pod nobody web -o json",
    "get pod nobody --ignore-not-found",
    "get pod nobody --ignore-not-found -o yaml",
    "get pod web bare --ignore-not-found -o name",
    "get gizmos",
    "get pods,gizmos",
    "get pods ''",
    "get pods/",
    "get pods ..",
    "get pods a%b",
    "get pods/a/b",
    "get pods web -A",
    "get pods --show-kind",
    "get pod web --show-kind -o wide --no-headers",
    "get pods -A --show-kind",
    "get pods --chunk-size=1",
    "get pods -A -o name --chunk-size=2",
    "get pods --chunk-size=1 --sort-by .metadata.name",
    "get pods --chunk-size=0",
    "get pods --server-print=false",
    "get pods,nodes --server-print=false --show-labels -o wide",
    "get pods -A --server-print=false --no-headers -L app",
    "get pod web --server-print=false",
    "get pods -n nowhere --server-print=false",
    "get pod web --subresource=status",
    "get rs set --subresource=scale",
    "get rs set --subresource=scale --show-kind",
    "get pods --subresource=status",
    "get pod web --subresource=nothing",
    "get --raw /version",
    "get --raw /api/v1/namespaces/default/pods/web",
    "get --raw /healthz",
    "get --raw /api/v1/nodes/nowhere",
    "get --raw /api/v1/gizmos",
    "get --raw version",
    "get --raw /version pods",
    "get --raw /version -o yaml",
    "get --raw /version -l a=b",
    "get --raw /version --watch",
    "get pods web -l app=web",
];

const FORMS: &[&str] = &[
    "get pod web -o json",
    "get pod web -o yaml",
    "get pod web -o yaml --show-managed-fields",
    "get pods -o json",
    "get pods -o yaml",
    "get pods nobody -o yaml",
    "get pods -n nowhere -o json",
    "get cm settings -o yaml",
    "get cm settings -o json",
    "get node node-1 -o yaml",
    "get svc front -o yaml",
    "get ds,rs -o yaml",
    "get endpointslice headless-x -o yaml",
    "get netpol some -o yaml",
    "get lease lock -o yaml",
    "get events -o yaml",
    "get pods,nodes -o name",
    "get rs set --subresource=scale -o name",
    "get rs set --subresource=scale -o yaml",
    "get pod web --subresource=status -o json",
    "get pods -o yaml --chunk-size=1",
    "get pod web -o jsonpath={.metadata.name}",
    "get pod web -o jsonpath={.spec.containers[*].name}",
    "get pods -o jsonpath={.items[*].metadata.name}",
    "get pods -o jsonpath={.items[0].metadata.labels}",
    "get pods -o 'jsonpath={range .items[*]}{.metadata.name}{\"\\t\"}{.status.phase}{\"\\n\"}{end}'",
    "get pods -o 'jsonpath={.items[?(@.status.phase==\"Running\")].metadata.name}'",
    "get pods -o 'jsonpath={.items[?(@.spec.nodeName)].metadata.name}'",
    "get pod web -o 'jsonpath={.spec.containers[?(@.name!=\"main\")].image} {.spec.containers[0].ports[-1:].containerPort}'",
    "get pod web -o jsonpath={..containerPort}",
    "get pod web -o jsonpath={.status.containerStatuses[*].ready}",
    "get pod web -o jsonpath={.status.containerStatuses[0:2].restartCount}",
    "get pod web -o jsonpath={.spec.containers[0].resources}",
    "get pod web -o jsonpath={.metadata.nothing}",
    "get pod web -o jsonpath-as-json={.spec.containers[*].name}",
    "get cm settings -o jsonpath={.data}",
    "get node node-1 -o 'jsonpath={.metadata.labels.node-role\\.kubernetes\\.io/worker}{.status.addresses[?(@.type==\"InternalIP\")].address}'",
    "get pods -o custom-columns=NAME:.metadata.name,PHASE:.status.phase,NODE:.spec.nodeName",
    "get pods -o custom-columns=NAME:metadata.name,LABELS:.metadata.labels,IPS:.status.podIPs[*].ip",
    "get pods -o custom-columns=N:.metadata.name,X:.spec.containers --no-headers",
    "get pod web -o custom-columns=NAME:.metadata.name,NONE:.nothing",
    "label cm settings --list",
    "annotate pod bare --list",
    "label cm/settings svc/front --list",
    "api-resources",
    "api-resources -o wide",
    "api-resources -o name",
    "api-resources --namespaced=false",
    "api-resources --api-group=apps --no-headers",
];

const DESCRIPTIONS: &[&str] = &[
    "describe pod web",
    "describe pod bare",
    "describe pods",
    "describe po -l app=bare",
    "describe pod we",
    "describe pod web --show-events=false",
    "describe node node-1",
    "describe nodes",
    "describe ns shop",
    "describe namespaces",
    "describe cm single",
    "describe sa robot",
    "describe sa default",
    "describe svc front",
    "describe service headless",
    "describe services kubernetes",
    "describe ep",
    "describe endpointslices headless-x",
    "describe netpol some",
    "describe netpol none",
    "describe ds logs",
    "describe rs set",
    "describe deploy",
    "describe lease lock",
    "describe event older",
    "describe pod/web node/node-2",
    "describe pod nobody",
    "describe gizmo",
    "describe pods -n nowhere",
    "describe pods -A",
];

async fn look(lines: &[&str]) {
    let Some((lab, kubectl)) = place().await else {
        return;
    };
    world::fill(&lab, &kubectl).await;
    let mut differences = Differences::default();
    for line in lines {
        let (theirs, ours) = (Tool::Kubectl(&kubectl), Tool::Podnet(&kubectl));
        let (theirs, ours) = tokio::join!(theirs.run(line), ours.run(line));
        differences.compare(line, &theirs, &ours);
    }
    differences.are_none(lines.len());
}

#[tokio::test]
async fn lists_and_tables_are_kubectl_s() {
    look(GETS).await;
}

#[tokio::test]
async fn objects_are_printed_as_kubectl_prints_them() {
    look(FORMS).await;
}

#[tokio::test]
async fn descriptions_are_kubectl_s() {
    look(DESCRIPTIONS).await;
}
