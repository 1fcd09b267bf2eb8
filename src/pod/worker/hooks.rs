//! postStart and preStop hooks, and signals.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Lifecycle, LifecycleHandler};
use tracing::debug;

use super::programs::InContainer;
use crate::pod::client::Pause;
use crate::pod::probe::{Answer, Check, check};

pub const TERM: i32 = 15;
pub const KILL: i32 = 9;
/// A hook has no limit of its own: the grace period, or nothing, is it.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

pub type Which = fn(&Lifecycle) -> Option<&LifecycleHandler>;

pub enum Hook {
    Do(Check),
    Sleep(Duration),
    /// It makes no sense.
    Wrong(String),
}

impl Hook {
    /// `None`: there is no such hook.
    pub fn of(container: &Container, which: Which, address: Option<IpAddr>) -> Option<Hook> {
        let hook = which(container.lifecycle.as_ref()?)?;
        if let Some(sleep) = &hook.sleep {
            let seconds = u64::try_from(sleep.seconds).unwrap_or(0);
            return Some(Hook::Sleep(Duration::from_secs(seconds)));
        }
        let Some(address) = address else {
            return Some(Hook::Wrong("the pod has no address".to_owned()));
        };
        match Check::of_hook(hook, container, address) {
            Ok(check) => check.map(Hook::Do),
            Err(why) => Some(Hook::Wrong(why)),
        }
    }
}

/// Answers once it is through.
pub async fn run(hook: Hook, pause: &Pause, container: &str) -> Result<(), String> {
    match hook {
        Hook::Sleep(time) => tokio::time::sleep(time).await,
        Hook::Wrong(why) => return Err(why),
        Hook::Do(what) => {
            let programs = InContainer { pause, container };
            if let Answer::Bad(why) = check(&what, FOR_EVER, &programs).await {
                return Err(why);
            }
        }
    }
    Ok(())
}

/// A container that has ended already needs none.
pub async fn signal(pause: &Pause, container: &str, signal: i32) {
    if let Err(error) = pause.signal(container, signal).await {
        debug!("signal {signal} to container {container}: {error}");
    }
}
