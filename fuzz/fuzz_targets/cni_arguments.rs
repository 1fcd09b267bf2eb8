//! Whatever stands in the plugin's environment variables, it is taken or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podnet::cni::{Environment, ExtraArguments};

fuzz_target!(|input: (&str, &str, &str)| {
    let (arguments, container, interface) = input;
    if let Ok(found) = ExtraArguments::parse(arguments) {
        let pod = found.pod("network", "container").to_string();
        assert!(pod.contains('/'));
    }
    let environment = Environment {
        container_id: Some(container.to_owned()),
        interface: Some(interface.to_owned()),
        ..Environment::default()
    };
    if let Ok(id) = environment.attachment() {
        assert_eq!(id.as_str(), format!("{container}.{interface}"));
        assert!(id.as_str().len() <= 127);
    }
});
