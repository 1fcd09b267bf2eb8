//! What the node's own object says of its health.
//!
//! One write at a time, always of the newest: a write that is slow cannot undo
//! a later one. When somebody else changes what was written (as the server does
//! with a node that was silent for too long), it is written again.

use std::time::Duration;

use kube::Client;
use tokio::task::{JoinError, JoinSet};

use crate::cluster::{self, ApiError, Health, Registration};

const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What of the object is ours to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// All of the status: this agent runs the pods too.
    Kubelet,
    /// The condition NetworkUnavailable, beside somebody else's kubelet.
    Network,
}

pub struct Standing {
    client: Client,
    ours: Registration,
    role: Role,
    wanted: Option<Health>,
    /// What the object said last; `None`: not known.
    told: Option<Health>,
    /// Writes that failed since the last that did not.
    failures: u32,
    writing: JoinSet<Told>,
}

/// A write that ended.
pub struct Told {
    health: Health,
    result: Result<(), ApiError>,
}

impl Standing {
    pub fn new(client: Client, ours: Registration, role: Role) -> Standing {
        Standing {
            client,
            ours,
            role,
            wanted: None,
            told: None,
            failures: 0,
            writing: JoinSet::new(),
        }
    }

    pub fn tell(&mut self, health: Health) {
        self.wanted = Some(health);
        self.write();
    }

    /// The write that ended; `None` if none is under way. Cancel-safe.
    pub async fn written(&mut self) -> Option<Result<Told, JoinError>> {
        self.writing.join_next().await
    }

    /// # Errors
    /// The write's own; the next [`Standing::tell`] tries again.
    pub fn note(&mut self, told: Told) -> Result<(), ApiError> {
        told.result.inspect_err(|_| {
            self.told = None;
            self.failures += 1;
        })?;
        self.failures = 0;
        self.told = Some(told.health);
        self.write();
        Ok(())
    }

    /// How long to wait after a write that failed. Where somebody else keeps the node alive, it is these
    /// writes that find out that the API answers again.
    pub fn pause(&self) -> Duration {
        cluster::back_off(self.failures).min(LONGEST_PAUSE)
    }

    /// Compare with the object's Ready condition: `None` is Unknown or missing.
    pub fn check(&mut self, ready: Option<bool>) {
        let Some(told) = &self.told else { return };
        let stands = ready == Some(*told == Health::Ready);
        if self.role == Role::Kubelet && self.writing.is_empty() && !stands {
            self.told = None;
            self.write();
        }
    }

    fn write(&mut self) {
        if !self.writing.is_empty() || self.wanted == self.told {
            return;
        }
        let Some(health) = self.wanted.clone() else {
            return;
        };
        let (client, ours, role) = (self.client.clone(), self.ours.clone(), self.role);
        self.writing.spawn(async move {
            let result = match role {
                Role::Kubelet => cluster::set_status(&client, &ours, &health).await,
                Role::Network => cluster::set_network(&client, &ours.name, &health).await,
            };
            Told { health, result }
        });
    }
}
