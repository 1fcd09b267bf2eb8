//! The table itself, from the `x-kubernetes-*` extensions of Kubernetes' OpenAPI document (1.33).

use super::{Field, Key, Keyed, Merge, PLAIN, Type};

/// The kinds with more than metadata to merge by.
pub static KINDS: &[(&str, &Type)] = &[
    ("Pod", &POD),
    ("Node", &NODE),
    ("Namespace", &NAMESPACE),
    ("Event", &EVENT),
    ("Service", &SERVICE),
    ("ServiceAccount", &SERVICE_ACCOUNT),
    ("Deployment", &DEPLOYMENT),
    ("ReplicaSet", &REPLICA_SET),
    ("DaemonSet", &DAEMON_SET),
    ("EndpointSlice", &ENDPOINT_SLICE),
    ("NetworkPolicy", &NETWORK_POLICY),
];

/// Every object.
pub static OBJECT: Type = plain("", &[METADATA]);

const METADATA: Field = fields("metadata", &OBJECT_META);

static OBJECT_META: Type = plain(
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
    &[
        set("finalizers", true),
        keyed("ownerReferences", "uid", &WHOLE),
    ],
);

static POD: Type = plain(
    "io.k8s.api.core.v1.Pod",
    &[
        METADATA,
        fields("spec", &POD_SPEC),
        fields("status", &POD_STATUS),
    ],
);

static POD_SPEC: Type = plain(
    "io.k8s.api.core.v1.PodSpec",
    &[
        fields("affinity", &AFFINITY),
        keyed("containers", "name", &CONTAINER),
        keyed("ephemeralContainers", "name", &EPHEMERAL_CONTAINER),
        keyed("hostAliases", "ip", &PLAIN),
        keyed("imagePullSecrets", "name", &WHOLE),
        keyed("initContainers", "name", &CONTAINER),
        atomic("nodeSelector"),
        one_of_each("resourceClaims", "name", &PLAIN),
        keyed("schedulingGates", "name", &PLAIN),
        Field {
            name: "topologySpreadConstraints",
            merge: Merge::Keyed(Keyed {
                patch: Some("topologyKey"),
                one_of: false,
                keys: &[key("topologyKey"), key("whenUnsatisfiable")],
            }),
            of: &TOPOLOGY_SPREAD_CONSTRAINT,
        },
        one_of_each("volumes", "name", &VOLUME),
    ],
);

static AFFINITY: Type = plain(
    "io.k8s.api.core.v1.Affinity",
    &[fields("nodeAffinity", &NODE_AFFINITY)],
);

static NODE_AFFINITY: Type = plain(
    "io.k8s.api.core.v1.NodeAffinity",
    &[atomic("requiredDuringSchedulingIgnoredDuringExecution")],
);

static TOPOLOGY_SPREAD_CONSTRAINT: Type = plain(
    "io.k8s.api.core.v1.TopologySpreadConstraint",
    &[atomic("labelSelector")],
);

static CONTAINER: Type = plain("io.k8s.api.core.v1.Container", CONTAINER_FIELDS);
static EPHEMERAL_CONTAINER: Type = plain("io.k8s.api.core.v1.EphemeralContainer", CONTAINER_FIELDS);

const CONTAINER_FIELDS: &[Field] = &[
    keyed("env", "name", &ENV_VAR),
    Field {
        name: "ports",
        merge: Merge::Keyed(Keyed {
            patch: Some("containerPort"),
            one_of: false,
            keys: &[key("containerPort"), PROTOCOL],
        }),
        of: &PLAIN,
    },
    fields("resources", &RESOURCE_REQUIREMENTS),
    keyed("volumeDevices", "devicePath", &PLAIN),
    keyed("volumeMounts", "mountPath", &PLAIN),
];

static ENV_VAR: Type = plain(
    "io.k8s.api.core.v1.EnvVar",
    &[fields("valueFrom", &ENV_VAR_SOURCE)],
);

static ENV_VAR_SOURCE: Type = plain(
    "io.k8s.api.core.v1.EnvVarSource",
    &[
        atomic("configMapKeyRef"),
        atomic("fieldRef"),
        atomic("resourceFieldRef"),
        atomic("secretKeyRef"),
    ],
);

static RESOURCE_REQUIREMENTS: Type = plain(
    "io.k8s.api.core.v1.ResourceRequirements",
    &[apply_keyed("claims", "name")],
);

/// References of volume drivers to secrets.
const SECRET_REF: Field = atomic("secretRef");

static VOLUME: Type = plain(
    "io.k8s.api.core.v1.Volume",
    &[
        fields("cephfs", &VOLUME_WITH_SECRET),
        fields("cinder", &VOLUME_WITH_SECRET),
        fields("flexVolume", &VOLUME_WITH_SECRET),
        fields("iscsi", &VOLUME_WITH_SECRET),
        fields("rbd", &VOLUME_WITH_SECRET),
        fields("scaleIO", &VOLUME_WITH_SECRET),
        fields("storageos", &VOLUME_WITH_SECRET),
    ],
);

static VOLUME_WITH_SECRET: Type = plain("", &[SECRET_REF]);

static POD_STATUS: Type = plain(
    "io.k8s.api.core.v1.PodStatus",
    &[
        keyed("conditions", "type", &PLAIN),
        Field {
            name: "hostIPs",
            merge: Merge::Keyed(Keyed {
                patch: Some("ip"),
                one_of: false,
                keys: &[],
            }),
            of: &PLAIN,
        },
        keyed("podIPs", "ip", &PLAIN),
        one_of_each("resourceClaimStatuses", "name", &PLAIN),
    ],
);

static NODE: Type = plain(
    "io.k8s.api.core.v1.Node",
    &[
        METADATA,
        fields("spec", &NODE_SPEC),
        fields("status", &NODE_STATUS),
    ],
);

static NODE_SPEC: Type = plain("io.k8s.api.core.v1.NodeSpec", &[set("podCIDRs", true)]);

static NODE_STATUS: Type = plain(
    "io.k8s.api.core.v1.NodeStatus",
    &[
        keyed("addresses", "type", &PLAIN),
        keyed("conditions", "type", &PLAIN),
    ],
);

static NAMESPACE: Type = plain(
    "io.k8s.api.core.v1.Namespace",
    &[METADATA, fields("status", &NAMESPACE_STATUS)],
);

static NAMESPACE_STATUS: Type = plain(
    "io.k8s.api.core.v1.NamespaceStatus",
    &[keyed("conditions", "type", &PLAIN)],
);

static EVENT: Type = plain(
    "io.k8s.api.core.v1.Event",
    &[METADATA, atomic("involvedObject"), atomic("related")],
);

static SERVICE: Type = plain(
    "io.k8s.api.core.v1.Service",
    &[
        METADATA,
        fields("spec", &SERVICE_SPEC),
        fields("status", &SERVICE_STATUS),
    ],
);

static SERVICE_SPEC: Type = plain(
    "io.k8s.api.core.v1.ServiceSpec",
    &[
        Field {
            name: "ports",
            merge: Merge::Keyed(Keyed {
                patch: Some("port"),
                one_of: false,
                keys: &[key("port"), PROTOCOL],
            }),
            of: &PLAIN,
        },
        atomic("selector"),
    ],
);

static SERVICE_STATUS: Type = plain(
    "io.k8s.api.core.v1.ServiceStatus",
    &[keyed("conditions", "type", &PLAIN)],
);

static SERVICE_ACCOUNT: Type = plain(
    "io.k8s.api.core.v1.ServiceAccount",
    &[METADATA, keyed("secrets", "name", &WHOLE)],
);

static POD_TEMPLATE: Type = plain(
    "io.k8s.api.core.v1.PodTemplateSpec",
    &[METADATA, fields("spec", &POD_SPEC)],
);

static DEPLOYMENT: Type = plain(
    "io.k8s.api.apps.v1.Deployment",
    &[
        METADATA,
        fields("spec", &DEPLOYMENT_SPEC),
        fields("status", &DEPLOYMENT_STATUS),
    ],
);

static DEPLOYMENT_SPEC: Type = plain(
    "io.k8s.api.apps.v1.DeploymentSpec",
    &[
        atomic("selector"),
        Field {
            name: "strategy",
            merge: Merge::OneOf,
            of: &PLAIN,
        },
        fields("template", &POD_TEMPLATE),
    ],
);

static DEPLOYMENT_STATUS: Type = plain("io.k8s.api.apps.v1.DeploymentStatus", CONDITIONS);

const CONDITIONS: &[Field] = &[keyed("conditions", "type", &PLAIN)];

static REPLICA_SET: Type = plain(
    "io.k8s.api.apps.v1.ReplicaSet",
    &[
        METADATA,
        fields("spec", &REPLICA_SET_SPEC),
        fields("status", &REPLICA_SET_STATUS),
    ],
);

static REPLICA_SET_SPEC: Type = plain("io.k8s.api.apps.v1.ReplicaSetSpec", CONTROLLED_PODS);
static REPLICA_SET_STATUS: Type = plain("io.k8s.api.apps.v1.ReplicaSetStatus", CONDITIONS);

static DAEMON_SET: Type = plain(
    "io.k8s.api.apps.v1.DaemonSet",
    &[
        METADATA,
        fields("spec", &DAEMON_SET_SPEC),
        fields("status", &DAEMON_SET_STATUS),
    ],
);

static DAEMON_SET_SPEC: Type = plain("io.k8s.api.apps.v1.DaemonSetSpec", CONTROLLED_PODS);
static DAEMON_SET_STATUS: Type = plain("io.k8s.api.apps.v1.DaemonSetStatus", CONDITIONS);

const CONTROLLED_PODS: &[Field] = &[atomic("selector"), fields("template", &POD_TEMPLATE)];

static ENDPOINT_SLICE: Type = plain("io.k8s.api.discovery.v1.EndpointSlice", &[METADATA]);

static NETWORK_POLICY: Type = plain(
    "io.k8s.api.networking.v1.NetworkPolicy",
    &[METADATA, fields("spec", &NETWORK_POLICY_SPEC)],
);

static NETWORK_POLICY_SPEC: Type = plain(
    "io.k8s.api.networking.v1.NetworkPolicySpec",
    &[atomic("podSelector")],
);

const PROTOCOL: Key = Key {
    name: "protocol",
    default: Some("TCP"),
};

/// References to other objects, selectors: one value to apply.
static WHOLE: Type = Type {
    name: "",
    atomic: true,
    fields: &[],
};

const fn plain(name: &'static str, fields: &'static [Field]) -> Type {
    Type {
        name,
        atomic: false,
        fields,
    }
}

const fn key(name: &'static str) -> Key {
    Key {
        name,
        default: None,
    }
}

const fn fields(name: &'static str, of: &'static Type) -> Field {
    Field {
        name,
        merge: Merge::Fields,
        of,
    }
}

const fn atomic(name: &'static str) -> Field {
    Field {
        name,
        merge: Merge::Fields,
        of: &WHOLE,
    }
}

const fn set(name: &'static str, patch: bool) -> Field {
    Field {
        name,
        merge: Merge::Set { patch },
        of: &PLAIN,
    }
}

/// A list with the same key for patches and for apply.
const fn keyed(name: &'static str, by: &'static str, of: &'static Type) -> Field {
    list(name, Some(by), false, by, of)
}

const fn one_of_each(name: &'static str, by: &'static str, of: &'static Type) -> Field {
    list(name, Some(by), true, by, of)
}

/// A list that patches replace and apply merges.
const fn apply_keyed(name: &'static str, by: &'static str) -> Field {
    list(name, None, false, by, &PLAIN)
}

const fn list(
    name: &'static str,
    patch: Option<&'static str>,
    one_of: bool,
    by: &'static str,
    of: &'static Type,
) -> Field {
    Field {
        name,
        merge: Merge::Keyed(Keyed {
            patch,
            one_of,
            keys: by_name(by),
        }),
        of,
    }
}

/// The keys of a list with one.
const fn by_name(by: &'static str) -> &'static [Key] {
    const NAME: &[Key] = &[key("name")];
    const TYPE: &[Key] = &[key("type")];
    const IP: &[Key] = &[key("ip")];
    const UID: &[Key] = &[key("uid")];
    const MOUNT_PATH: &[Key] = &[key("mountPath")];
    const DEVICE_PATH: &[Key] = &[key("devicePath")];
    match by.as_bytes() {
        b"name" => NAME,
        b"type" => TYPE,
        b"ip" => IP,
        b"uid" => UID,
        b"mountPath" => MOUNT_PATH,
        b"devicePath" => DEVICE_PATH,
        _ => panic!("no list has this key yet"),
    }
}
