//! Whatever a runtime writes to the plugin's standard input, it is taken or
//! refused with an error object, and what is taken holds together.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podnet::cni::{Config, Environment, answer};

fuzz_target!(|input: &[u8]| {
    if let Ok(config) = Config::parse(input) {
        let _ = config.supported();
        let ranges = config.cidrs.iter().count();
        assert!((1..=2).contains(&ranges));
        assert!(config.gateways().len() <= ranges);
        assert!(config.routes.iter().all(|route| route.via.is_some()));
    }
    // Without a verb nothing is done: this is how an error is said.
    let said = answer(&Environment::default(), input);
    let object: serde_json::Value = serde_json::from_str(&said.output).expect("JSON");
    assert_eq!((said.exit_code, object["code"].as_u64()), (1, Some(4)));
});
