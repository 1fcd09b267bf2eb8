//! Whatever a runtime says, it is taken or refused with an error object, and what is taken holds
//! together.

use serde_json::Value;

use super::{Config, Environment, ExtraArguments, answer};

/// `CNI_ARGS`, `CNI_CONTAINERID` and `CNI_IFNAME`, a line each.
pub fn cni_arguments(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or("");
    let (arguments, container, interface) = (line(), line(), line());
    if let Ok(found) = ExtraArguments::parse(arguments) {
        let pod = found.pod("network", "container").to_string();
        assert!(pod.contains('/'), "{pod}");
    }
    let environment = Environment {
        container_id: Some(container.to_owned()),
        interface: Some(interface.to_owned()),
        arguments: Some(arguments.to_owned()),
        ..Environment::default()
    };
    if let Ok(id) = environment.attachment() {
        assert_eq!(id.as_str(), format!("{container}.{interface}"));
        assert!(id.as_str().len() <= 127, "{}", id.as_str());
    }
}

/// The plugin's standard input.
pub fn cni_configuration(input: &[u8]) {
    if let Ok(config) = Config::parse(input) {
        // Refused or not: it is found out without a panic.
        let _ = config.supported();
        let ranges = config.cidrs.iter().count();
        assert!((1..=2).contains(&ranges), "{ranges} ranges");
        assert!(config.gateways().len() <= ranges);
        assert!(config.routes.iter().all(|route| route.via.is_some()));
    }
    // Without a verb nothing is done: this is how an error is said.
    let said = answer(&Environment::default(), input);
    let object: Value = serde_json::from_str(&said.output).expect("JSON");
    assert_eq!((said.exit_code, object["code"].as_u64()), (1, Some(4)));
}
