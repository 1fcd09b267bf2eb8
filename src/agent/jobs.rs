//! What takes time, done beside the event loop. Every job ends as a [`Job`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tracing::warn;

use crate::cluster::{self, PodReport, PodView, Reach, back_off};
use crate::kernel::linux::Linux;
use crate::kernel::{Kernel, KernelError};
use crate::model::{NodeCidrs, PodName, Slot};
use crate::plan::Observed;

use super::event::Job;
use super::pods::StartError;
use super::runtime::{PodIdentity, PodRuntime, Tending};
use super::sockets::{self, Sockets};

/// How many pods are started at a time: more only wait for each other at the
/// kernel's rtnl lock.
const STARTS_AT_ONCE: usize = 4;

const DRAIN: Duration = Duration::from_secs(5);

pub struct Jobs<R: PodRuntime> {
    shared: Arc<Shared<R>>,
    running: JoinSet<Option<Job<R::Sandbox>>>,
    starts: Arc<Semaphore>,
}

struct Shared<R> {
    client: Client,
    reach: Reach,
    runtime: Option<Arc<R>>,
    sockets: Sockets,
    /// Deleting many links takes long; it does not hold up an attachment.
    reaper: Linux,
}

impl<R: PodRuntime> Jobs<R> {
    pub fn new(
        client: Client,
        reach: Reach,
        runtime: Option<Arc<R>>,
        cidrs: NodeCidrs,
    ) -> Result<Jobs<R>, KernelError> {
        let shared = Shared {
            client,
            reach,
            runtime,
            sockets: Sockets::open(cidrs)?,
            reaper: Linux::open()?,
        };
        Ok(Jobs {
            shared: Arc::new(shared),
            running: JoinSet::new(),
            starts: Arc::new(Semaphore::new(STARTS_AT_ONCE)),
        })
    }

    pub fn runs_pods(&self) -> bool {
        self.shared.runtime.is_some()
    }

    /// The next job that ended; `None` if there is none under way. Cancel-safe.
    ///
    /// # Errors
    /// A job that panicked: the pod it was at work on would wait for it for ever,
    /// so whoever gets this starts over.
    pub async fn next(&mut self) -> Option<Result<Job<R::Sandbox>, JoinError>> {
        loop {
            match self.running.join_next().await? {
                Ok(None) => {}
                Ok(Some(job)) => return Some(Ok(job)),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Whether nothing is being started.
    pub fn idle(&self) -> bool {
        self.starts.available_permits() == STARTS_AT_ONCE
    }

    pub fn container_id<'a>(&'a self, sandbox: &'a R::Sandbox) -> &'a str {
        match &self.shared.runtime {
            Some(runtime) => runtime.container_id(sandbox),
            None => "",
        }
    }

    pub fn attachment_id(&self, sandbox: &R::Sandbox) -> Option<String> {
        let id = sockets::attachment(self.container_id(sandbox)).ok()?;
        Some(id.as_str().to_owned())
    }

    /// Make the sandbox unless there is one, and plug it in unless it is.
    pub fn start(
        &mut self,
        view: PodView,
        sandbox: Option<Arc<R::Sandbox>>,
        prefer: Option<Slot>,
        observed: Option<&Observed>,
    ) {
        if let Some(observed) = observed {
            self.shared.sockets.notice(observed);
        }
        let shared = Arc::clone(&self.shared);
        let starts = Arc::clone(&self.starts);
        self.running.spawn(async move {
            // Closed never; an error would only mean one start more at a time.
            let _permit = starts.acquire().await.ok();
            let runtime = shared.runtime.clone()?;
            let uid = view.uid.clone();
            let made = match sandbox {
                Some(sandbox) => Ok(sandbox),
                None => runtime.start(&identity(&view)).await.map(Arc::new),
            };
            let (sandbox, result) = match made {
                Ok(sandbox) if view.host_network => (Some(sandbox), Ok(None)),
                Ok(sandbox) => {
                    let plugged = plug_in(&shared, &view.pod, &sandbox, prefer).await;
                    (Some(sandbox), plugged.map(Some))
                }
                Err(error) => (None, Err(error.into())),
            };
            Some(Job::Started {
                uid,
                sandbox,
                result,
            })
        });
    }

    /// Say when the sandbox ends.
    pub fn watch(&mut self, uid: &str, sandbox: Arc<R::Sandbox>) {
        let Some(runtime) = self.shared.runtime.clone() else {
            return;
        };
        let uid = uid.to_owned();
        self.running.spawn(async move {
            runtime.ended(&sandbox).await;
            let container_id = runtime.container_id(&sandbox).to_owned();
            Some(Job::Ended { uid, container_id })
        });
    }

    /// Tend its containers, and say when that is over.
    pub fn tend(&mut self, sandbox: Arc<R::Sandbox>, tending: Tending) {
        let Some(runtime) = self.shared.runtime.clone() else {
            return;
        };
        let uid = tending.reports.uid.clone();
        let container_id = tending.reports.container_id.clone();
        self.running.spawn(async move {
            runtime.tend(sandbox, tending).await;
            Some(Job::Over { uid, container_id })
        });
    }

    /// Take away what a pod that is gone left on disk.
    pub fn clear(&mut self, uid: &str) {
        self.clear_these(vec![uid.to_owned()]);
    }

    /// As [`Jobs::clear`], of all pods but these. What there is to take away is found out at
    /// once: a pod that begins while that is done is not among it.
    pub fn clear_all_but(&mut self, uids: &BTreeSet<String>) {
        let left = self.shared.runtime.as_ref().map(|runtime| runtime.left());
        let left = left.into_iter().flatten();
        self.clear_these(left.filter(|uid| !uids.contains(uid)).collect());
    }

    fn clear_these(&mut self, uids: Vec<String>) {
        if let Some(runtime) = self.shared.runtime.clone() {
            self.running.spawn_blocking(move || {
                uids.iter().for_each(|uid| runtime.clear(uid));
                None
            });
        }
    }

    /// End the sandbox and free its address; of a pod that is no more, take away what it
    /// left, and then the object.
    pub fn stop(
        &mut self,
        view: &PodView,
        sandbox: Option<Arc<R::Sandbox>>,
        grace: Duration,
        delete_object: bool,
    ) {
        let shared = Arc::clone(&self.shared);
        let (pod, uid) = (view.pod.clone(), view.uid.clone());
        let no_more = !delete_object || view.deletion_grace_seconds.is_some();
        let delete_object = delete_object && no_more;
        self.running.spawn(async move {
            if let (Some(sandbox), Some(runtime)) = (sandbox, &shared.runtime) {
                runtime.stop(&sandbox, grace).await;
                unplug(&shared, runtime.container_id(&sandbox)).await;
            }
            if no_more {
                clear(&shared, uid.clone()).await;
            }
            if delete_object {
                delete_until_done(&shared, &pod, &uid).await;
            }
            Some(Job::Stopped { uid })
        });
    }

    /// A sandbox whose pod is no more.
    pub fn stop_orphan(&mut self, uid: &str, sandbox: Arc<R::Sandbox>) {
        let shared = Arc::clone(&self.shared);
        let uid = uid.to_owned();
        self.running.spawn(async move {
            let runtime = shared.runtime.as_ref()?;
            runtime.stop(&sandbox, Duration::ZERO).await;
            unplug(&shared, runtime.container_id(&sandbox)).await;
            clear(&shared, uid).await;
            None
        });
    }

    /// Free the address of a sandbox, at once: it is about to be asked for again.
    pub fn free(&self, container_id: &str) {
        self.shared.sockets.unplug(container_id);
    }

    /// Set the pods' own sides right, one after the other.
    pub fn mend(&mut self, pods: Vec<(PodName, Arc<R::Sandbox>, Slot)>) {
        let shared = Arc::clone(&self.shared);
        self.running.spawn_blocking(move || {
            let runtime = shared.runtime.as_ref()?;
            for (pod, sandbox, slot) in pods {
                let id = runtime.container_id(&sandbox);
                let netns = runtime.netns(&sandbox);
                let mended = shared.sockets.mend(&pod, id, slot, netns);
                if let Err(error) = mended {
                    warn!("{error}");
                }
            }
            None
        });
    }

    pub fn reap(&mut self) {
        let shared = Arc::clone(&self.shared);
        self.running.spawn_blocking(move || {
            if let Err(error) = shared.reaper.reap() {
                warn!("{error}");
            }
            None
        });
    }

    pub fn report(&mut self, view: PodView, report: PodReport) {
        let shared = Arc::clone(&self.shared);
        self.running.spawn(async move {
            let result = cluster::report(&shared.client, &view, &report).await;
            Some(Job::Reported {
                uid: view.uid,
                result,
            })
        });
    }

    pub fn retry(&mut self, uid: &str, pause: Duration) {
        let uid = uid.to_owned();
        self.running.spawn(async move {
            tokio::time::sleep(pause).await;
            Some(Job::Retry { uid })
        });
    }

    /// As [`Jobs::retry`], but at once when the API answers again.
    pub fn retry_when_answered(&mut self, uid: &str, pause: Duration) {
        let (uid, reach) = (uid.to_owned(), self.shared.reach.clone());
        self.running.spawn(async move {
            reach.pause(pause).await;
            Some(Job::Retry { uid })
        });
    }

    /// Wait until what was to be ended has ended, and end what was still being
    /// started; give up the rest after [`DRAIN`].
    pub async fn drain(&mut self) {
        let deadline = tokio::time::Instant::now() + DRAIN;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.next()).await {
            match ended {
                Ok(Job::Started {
                    uid,
                    sandbox: Some(sandbox),
                    ..
                }) => self.stop_orphan(&uid, sandbox),
                Ok(_) => {}
                Err(error) => warn!("a job was lost: {error}"),
            }
        }
        self.running.abort_all();
    }
}

async fn delete_until_done<R>(shared: &Shared<R>, pod: &PodName, uid: &str) {
    let mut failures = 0;
    loop {
        let deleted = cluster::delete_pod(&shared.client, pod, uid).await;
        shared.reach.note(&deleted);
        if deleted.is_ok() {
            return;
        }
        failures += 1;
        if shared.reach.pause(back_off(failures)).await {
            failures = 0;
        }
    }
}

async fn clear<R: PodRuntime>(shared: &Arc<Shared<R>>, uid: String) {
    let shared = Arc::clone(shared);
    let blocking = tokio::task::spawn_blocking(move || {
        if let Some(runtime) = &shared.runtime {
            runtime.clear(&uid);
        }
    });
    if let Err(error) = blocking.await {
        warn!("clear what a pod left: {error}");
    }
}

fn identity(view: &PodView) -> PodIdentity {
    PodIdentity {
        pod: view.pod.clone(),
        uid: view.uid.clone(),
        hostname: view.hostname.clone(),
        host_network: view.host_network,
    }
}

async fn plug_in<R: PodRuntime>(
    shared: &Arc<Shared<R>>,
    pod: &PodName,
    sandbox: &Arc<R::Sandbox>,
    prefer: Option<Slot>,
) -> Result<Slot, StartError> {
    let (shared, pod, sandbox) = (Arc::clone(shared), pod.clone(), Arc::clone(sandbox));
    let blocking = tokio::task::spawn_blocking(move || {
        let runtime = shared.runtime.as_ref();
        let runtime = runtime.ok_or_else(|| StartError::Job("no runtime".to_owned()))?;
        let (id, netns) = (runtime.container_id(&sandbox), runtime.netns(&sandbox));
        let granted = shared.sockets.plug_in(&pod, id, netns, prefer)?;
        granted.ok_or_else(|| shared.sockets.range_used_up())
    });
    blocking
        .await
        .unwrap_or_else(|error| Err(StartError::Job(error.to_string())))
}

async fn unplug<R: PodRuntime>(shared: &Arc<Shared<R>>, container_id: &str) {
    let (shared, container_id) = (Arc::clone(shared), container_id.to_owned());
    let blocking = tokio::task::spawn_blocking(move || shared.sockets.unplug(&container_id));
    if let Err(error) = blocking.await {
        warn!("unplug a pod: {error}");
    }
}
