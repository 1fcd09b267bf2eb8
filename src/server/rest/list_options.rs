//! Which parameters of lists and watches go together (`ValidateListOptions` of apimachinery).

use crate::server::request::{Options, VersionMatch};
use crate::server::status::{ApiError, Cause};

/// # Errors
/// `InvalidOptions` with everything that does not. Clients that find a server too old for
/// `sendInitialEvents` by this go on without.
pub fn check(options: &Options) -> Result<(), ApiError> {
    const MATCH: &str = "resourceVersionMatch";
    let mut causes = Vec::new();
    let mut forbid = |field: &str, why: &str| causes.push(Cause::forbidden(field, why));
    let initial = options.send_initial_events.is_some();
    let version = options.resource_version;
    match (options.watch, options.version_match) {
        (true, None) if initial => {
            forbid(
                MATCH,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            );
        }
        (true, Some(_)) if !initial => {
            forbid(
                MATCH,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        }
        (true, Some(VersionMatch::Exact)) => {
            forbid(
                MATCH,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            );
        }
        (false, Some(_)) if version.is_none() => {
            forbid(
                MATCH,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            );
        }
        (false, Some(VersionMatch::Exact)) if version == Some(0) => {
            forbid(
                MATCH,
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            );
        }
        _ => {}
    }
    if options.version_match.is_some() && options.continue_token.is_some() {
        forbid(
            MATCH,
            "resourceVersionMatch is forbidden when continue is provided",
        );
    }
    if initial && !options.watch {
        forbid(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        );
    }
    match causes.is_empty() {
        true => Ok(()),
        false => Err(ApiError::InvalidOptions {
            kind: "ListOptions",
            causes,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_together() {
        for query in [
            "",
            "watch=1",
            "resourceVersion=0&resourceVersionMatch=NotOlderThan",
            "resourceVersion=7&resourceVersionMatch=Exact",
            "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        ] {
            assert!(check(&Options::parse(query).unwrap()).is_ok(), "{query}");
        }
        for (query, why) in [
            (
                "resourceVersionMatch=Exact",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless \
                 resourceVersion is provided",
            ),
            (
                "resourceVersion=0&resourceVersionMatch=Exact",
                "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for \
                 resourceVersion \"0\"",
            ),
            (
                "watch=1&sendInitialEvents=true",
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting \
                 resourceVersionMatch to NotOlderThan",
            ),
            (
                "watch=1&resourceVersion=1&resourceVersionMatch=NotOlderThan",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless \
                 sendInitialEvents is provided",
            ),
            (
                "sendInitialEvents=true",
                "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
            ),
            (
                "resourceVersion=1&resourceVersionMatch=NotOlderThan&continue=x",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is \
                 provided",
            ),
        ] {
            let refused = check(&Options::parse(query).unwrap()).unwrap_err();
            assert_eq!(refused.code(), 422);
            assert_eq!(
                refused.to_string(),
                format!("ListOptions.meta.k8s.io \"\" is invalid: {why}")
            );
        }
    }
}
