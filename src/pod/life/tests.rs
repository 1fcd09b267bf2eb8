//! Random lives: whatever happens in whatever order, the laws hold.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container as Spec, Pod};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::pod::protocol;

#[derive(Clone, Debug)]
enum Happening {
    /// So many milliseconds go by.
    Time(i64),
    /// Of those that are being started, one is: 0 it runs, 1 it cannot be made, 2 it has no program.
    Start(usize, u8),
    /// One that runs ends so.
    End(usize, i32),
    /// One that runs turns unhealthy.
    Condemn(usize),
    Startup(usize),
    Ready(usize, bool),
    Delete(i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0i64..400_000).prop_map(Happening::Time),
        6 => (0usize..5, prop_oneof![6 => Just(0u8), 1 => Just(1), 1 => Just(2)])
            .prop_map(|(i, how)| Happening::Start(i, how)),
        4 => (0usize..5, prop_oneof![2 => Just(0), 2 => Just(1), 1 => Just(137)])
            .prop_map(|(i, code)| Happening::End(i, code)),
        1 => (0usize..5).prop_map(Happening::Condemn),
        2 => (0usize..5).prop_map(Happening::Startup),
        2 => (0usize..5, any::<bool>()).prop_map(|(i, ready)| Happening::Ready(i, ready)),
        1 => prop_oneof![9 => Just(None), 1 => (0i64..60).prop_map(Some)]
            .prop_map(|delete| delete.map_or(Happening::Time(1), Happening::Delete)),
    ]
}

fn container(name: &str, sidecar: bool, probes: bool, hooks: bool) -> Spec {
    let mut spec = json!({"name": name, "image": "busybox"});
    if sidecar {
        spec["restartPolicy"] = json!("Always");
    }
    if probes {
        spec["startupProbe"] = json!({"exec": {"command": ["true"]}});
        spec["readinessProbe"] = json!({"exec": {"command": ["true"]}});
    }
    if hooks {
        spec["lifecycle"] = json!({"preStop": {"exec": {"command": ["true"]}}});
    }
    serde_json::from_value(spec).expect("a container")
}

fn pod(policy: &str, init: &[Spec], main: &[Spec], deadline: Option<i64>) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u"},
        "spec": {
            "restartPolicy": policy,
            "initContainers": init,
            "containers": main,
            "activeDeadlineSeconds": deadline,
            "terminationGracePeriodSeconds": 30,
        },
    }))
    .expect("a pod")
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let flags = || (any::<bool>(), any::<bool>(), any::<bool>());
    (
        prop::sample::select(vec!["Always", "OnFailure", "Never"]),
        prop::collection::vec(flags(), 0..3),
        prop::collection::vec(flags(), 1..3),
        prop::option::weighted(0.1, 1i64..2000),
    )
        .prop_map(|(policy, init, main, deadline)| {
            let build = |prefix: &str, all: &[(bool, bool, bool)], may_be_sidecar: bool| {
                let each = all.iter().enumerate();
                each.map(|(i, (sidecar, probes, hooks))| {
                    container(
                        &format!("{prefix}{i}"),
                        *sidecar && may_be_sidecar,
                        *probes,
                        *hooks,
                    )
                })
                .collect::<Vec<_>>()
            };
            let pod = pod(
                policy,
                &build("i", &init, true),
                &build("m", &main, false),
                deadline,
            );
            Wanted::of(&pod, Pace::new(1.0))
        })
}

/// The processes there would be, and what was asked of them.
struct World {
    life: Life,
    wanted: Wanted,
    now: Timestamp,
    starting: Vec<bool>,
    running: Vec<bool>,
    /// When each ended last, by how much its next starts were put off, at the least.
    starts: Vec<Vec<Timestamp>>,
    ending_began: bool,
}

impl World {
    fn new(wanted: Wanted) -> World {
        let now = Timestamp::UNIX_EPOCH;
        let found: Vec<resume::Found<'_>> = wanted
            .containers
            .iter()
            .map(|_| resume::Found::default())
            .collect();
        let life = Life::resume(&wanted, &found, now, now, |_, _, _| {
            unreachable!("nothing ran")
        });
        let count = wanted.containers.len();
        World {
            life,
            now,
            starting: vec![false; count],
            running: vec![false; count],
            starts: vec![Vec::new(); count],
            ending_began: false,
            wanted,
        }
    }

    fn look(&mut self) -> Result<(), TestCaseError> {
        let before = self.life.clone();
        let (actions, again) = self.life.next(&self.wanted, self.now);
        for action in actions {
            match action {
                Action::PrepareVolumes => self.life.volumes_prepared(),
                Action::Start(i) => {
                    prop_assert!(!self.starting[i] && !self.running[i], "two runs of {i}");
                    prop_assert!(!self.ending_began, "a start after the end began");
                    self.check_order(i)?;
                    self.starting[i] = true;
                    self.starts[i].push(self.now);
                }
                Action::Stop(i) | Action::Terminate(i) => prop_assert!(self.running[i]),
                Action::Kill(i) => {
                    prop_assert!(self.running[i]);
                    self.end(i, 137);
                }
                Action::CrashBackOff(i) | Action::PullBackOff(i) => {
                    prop_assert!(!self.starting[i] && !self.running[i]);
                }
                Action::DeadlineExceeded => {}
            }
        }
        self.ending_began |= self.life.ending.is_some();
        prop_assert!(
            again.is_none_or(|again| again > self.now),
            "a look that is due already"
        );
        for (old, new) in before.containers.iter().zip(&self.life.containers) {
            prop_assert!(new.restarts >= old.restarts);
        }
        if matches!(self.life.volumes, Volumes::Ready) && !before.is_over(&self.wanted) {
            // Volumes were just prepared, or there is a reason why nothing moves.
            let moves = self.starting.iter().chain(&self.running).any(|busy| *busy);
            let again_now = self.life.clone().next(&self.wanted, self.now).0;
            prop_assert!(
                moves
                    || again.is_some()
                    || !again_now.is_empty()
                    || self.life.is_over(&self.wanted),
                "stuck: {:?}",
                self.life
            );
        }
        Ok(())
    }

    fn check_order(&self, index: usize) -> Result<(), TestCaseError> {
        if self.wanted.containers[index].role != Role::Main {
            return Ok(());
        }
        for (i, rules) in self.wanted.containers.iter().enumerate() {
            let container = &self.life.containers[i];
            match rules.role {
                Role::Init => prop_assert!(self.life.has_succeeded(i), "started before {i}"),
                Role::Sidecar => prop_assert!(container.ran, "started before {i}"),
                Role::Main => {}
            }
        }
        Ok(())
    }

    fn end(&mut self, index: usize, exit_code: i32) {
        if !std::mem::take(&mut self.running[index]) {
            return;
        }
        let end = terminated(self.life.containers[index].restarts, exit_code, self.now);
        assert!(self.life.ended(index, end), "it ran");
    }

    fn happen(&mut self, happening: &Happening) {
        let count = self.wanted.containers.len();
        let (life, wanted, now) = (&mut self.life, &self.wanted, self.now);
        let attempt = |life: &Life, i: usize| life.containers[i].restarts;
        match *happening {
            Happening::Time(ms) => self.now += SignedDuration::from_millis(ms),
            Happening::Start(i, how) => {
                let i = i % count;
                if !std::mem::take(&mut self.starting[i]) {
                    return;
                }
                match how {
                    0 => {
                        let attempt = life.containers[i].next_attempt();
                        life.started(wanted, i, attempt, now);
                        self.running[i] = true;
                    }
                    1 => life.refused(wanted, i, now, "ErrImagePull", "no".to_owned()),
                    _ => life.start_failed(wanted, i, now, "no such program".to_owned()),
                }
            }
            Happening::End(i, code) => self.end(i % count, code),
            Happening::Condemn(i) => {
                let i = i % count;
                let by = now + wanted.grace;
                life.condemn(wanted, i, attempt(life, i), by);
            }
            Happening::Startup(i) => life.passed(i % count, attempt(life, i % count)),
            Happening::Ready(i, ready) => {
                life.readiness(i % count, attempt(life, i % count), ready)
            }
            Happening::Delete(seconds) => life.delete(now + SignedDuration::from_secs(seconds)),
        }
    }
}

fn terminated(attempt: u32, exit_code: i32, at: Timestamp) -> Terminated {
    Terminated {
        attempt,
        exit_code,
        signal: None,
        reason: if exit_code == 0 { "Completed" } else { "Error" }.to_owned(),
        message: None,
        started_at: None,
        finished_at: at,
        again: false,
    }
}

proptest! {
    #[test]
    fn the_laws_hold_whatever_happens(
        wanted in wanted(), happenings in prop::collection::vec(happening(), 0..120)
    ) {
        let mut world = World::new(wanted);
        let mut settled: Option<&str> = None;
        world.look()?;
        for happening in happenings {
            world.happen(&happening);
            world.look()?;
            let phase = world.life.phase(&world.wanted);
            let there = world.running.iter().any(|running| *running);
            if matches!(phase, "Succeeded" | "Failed") {
                prop_assert!(!there, "{phase} while something runs");
            }
            if let Some(settled) = settled {
                prop_assert_eq!(phase, settled, "a settled phase changed");
            }
            if matches!(phase, "Succeeded" | "Failed") {
                settled = Some(phase);
            }
            let report = world.life.report(&world.wanted, &[], world.now);
            for status in report.containers.iter().chain(&report.init_containers) {
                let running = status.state.as_ref().is_some_and(|state| state.running.is_some());
                prop_assert!(!status.ready || running || status.name.starts_with('i'));
            }
        }
    }

    /// Deletion ends every pod, at the latest when its time and that of its sidecars is up.
    #[test]
    fn a_deleted_pod_comes_to_its_end(
        wanted in wanted(), happenings in prop::collection::vec(happening(), 0..60)
    ) {
        let mut world = World::new(wanted);
        world.look()?;
        for happening in happenings {
            world.happen(&happening);
            world.look()?;
        }
        world.happen(&Happening::Delete(30));
        for _ in 0..20 {
            for i in 0..world.wanted.containers.len() {
                world.happen(&Happening::Start(i, 0));
            }
            world.look()?;
            world.happen(&Happening::Time(31_000));
            world.look()?;
        }
        prop_assert!(world.life.is_over(&world.wanted), "{:?}", world.life);
    }

    /// A container that fails at once is started after 0, 10, 20, … 300 s.
    #[test]
    fn crashes_are_put_off_ever_longer(crashes in 1usize..12, scale in 0.001f64..1.0) {
        let mut wanted = Wanted::of(&pod("Always", &[], &[container("m", false, false, false)], None), Pace::new(1.0));
        wanted.pace = Pace::new(scale);
        let mut world = World::new(wanted);
        world.look()?;
        world.look()?;
        for crash in 0..crashes {
            world.happen(&Happening::Start(0, 0));
            world.happen(&Happening::End(0, 1));
            let (_, again) = world.life.clone().next(&world.wanted, world.now);
            let pause = match crash {
                0 => 0.0,
                n => (10.0 * f64::from(1 << (n - 1).min(10))).min(300.0),
            };
            match again {
                None => prop_assert_eq!(crash, 0),
                Some(again) => {
                    let waited = again.duration_since(world.now).as_secs_f64();
                    prop_assert!((waited - pause * scale).abs() < 0.001, "{waited} after {crash}");
                    world.now = again;
                }
            }
            world.look()?;
            prop_assert!(world.starting[0], "it was due");
        }
    }
}

fn one(policy: &str) -> World {
    let pod = pod(policy, &[], &[container("m", false, false, false)], None);
    World::new(Wanted::of(&pod, Pace::new(1.0)))
}

fn reason(world: &World) -> String {
    let report = world.life.report(&world.wanted, &[], world.now);
    let state = report.containers[0].state.clone().unwrap_or_default();
    let waiting = state.waiting.and_then(|waiting| waiting.reason);
    waiting
        .or(state.terminated.and_then(|end| end.reason))
        .unwrap_or_default()
}

#[test]
fn an_image_nobody_knows_is_an_error_first_and_a_wait_then() {
    let mut world = one("Always");
    for _ in 0..2 {
        world.look().expect("lawful");
    }
    assert_eq!(reason(&world), "ContainerCreating");
    world.happen(&Happening::Start(0, 1));
    assert_eq!(reason(&world), "ErrImagePull");
    world.look().expect("lawful");
    world.happen(&Happening::Time(3_000));
    world.look().expect("lawful");
    assert_eq!(reason(&world), "ImagePullBackOff");
    world.happen(&Happening::Time(8_000));
    world.look().expect("lawful");
    assert!(world.starting[0], "it is tried again");
}

#[test]
fn a_crash_loop_says_so() {
    let mut world = one("Always");
    for _ in 0..3 {
        world.look().expect("lawful");
        world.happen(&Happening::Start(0, 0));
        world.happen(&Happening::End(0, 1));
    }
    world.look().expect("lawful");
    assert_eq!(reason(&world), "CrashLoopBackOff");
    let report = world.life.report(&world.wanted, &[], world.now);
    let state = report.containers[0].state.clone().unwrap_or_default();
    let message = state.waiting.and_then(|w| w.message).unwrap_or_default();
    assert_eq!(
        message,
        "back-off 10s restarting failed container=m pod=web_default(u)"
    );
    assert_eq!(report.phase, "Running");
}

/// An agent that starts over finds a container as it is: nothing is to be done.
#[test]
fn what_runs_is_left_alone() {
    let wanted = one("Always").wanted;
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1);
    let there = protocol::Container {
        name: "m".to_owned(),
        attempt: 3,
        pid: 7,
        started_at: Timestamp::UNIX_EPOCH,
        ended: None,
    };
    let found = resume::Found {
        there: Some(&there),
        ..resume::Found::default()
    };
    let mut life = Life::resume(&wanted, &[found], now, now, |_, _, _| {
        unreachable!("it runs")
    });
    assert_eq!(life.next(&wanted, now), (Vec::new(), None));
    assert_eq!(
        life.report(&wanted, &[], now).containers[0].restart_count,
        3
    );
}

/// What ran in a sandbox that died counts as a run that was killed.
#[test]
fn a_new_sandbox_counts_as_a_restart() {
    let wanted = one("Always").wanted;
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1);
    let status: k8s_openapi::api::core::v1::ContainerStatus = serde_json::from_value(json!({
        "name": "m", "image": "busybox", "imageID": "", "ready": true, "restartCount": 2,
        "state": {"running": {"startedAt": "1970-01-01T00:00:00Z"}},
    }))
    .expect("a status");
    let found = resume::Found {
        status: Some(&status),
        ..resume::Found::default()
    };
    let mut life = Life::resume(&wanted, &[found], now, now, |_, _, _| {
        unreachable!("nothing is there")
    });
    assert_eq!(life.next(&wanted, now).0, [Action::PrepareVolumes]);
    life.volumes_prepared();
    assert_eq!(life.next(&wanted, now).0, [Action::Start(0)]);
    life.started(&wanted, 0, 3, now);
    let report = life.report(&wanted, &[], now);
    assert_eq!(report.containers[0].restart_count, 3);
    let last = report.containers[0]
        .last_state
        .clone()
        .and_then(|last| last.terminated);
    assert_eq!(last.map(|end| end.exit_code), Some(137));
}

/// A pod of one container, and its life when that has begun its first run.
fn begun(hooks: bool) -> (Wanted, Life, Timestamp) {
    let pod = pod("Always", &[], &[container("a", false, false, hooks)], None);
    let wanted = Wanted::of(&pod, Pace::new(1.0));
    let now = Timestamp::UNIX_EPOCH;
    let found = [resume::Found::default()];
    let mut life = Life::resume(&wanted, &found, now, now, |_, _, _| {
        unreachable!("nothing is there")
    });
    life.next(&wanted, now);
    life.volumes_prepared();
    assert_eq!(life.next(&wanted, now).0, [Action::Start(0)]);
    (wanted, life, now)
}

#[test]
fn a_hook_that_outlives_its_run_ends_no_later_one() {
    let (wanted, mut life, now) = begun(true);
    life.started(&wanted, 0, 0, now);
    assert!(life.condemn(&wanted, 0, 0, now + SignedDuration::from_secs(30)));
    life.ended(
        0,
        Terminated {
            attempt: 0,
            exit_code: 1,
            signal: None,
            reason: "Error".to_owned(),
            message: None,
            started_at: Some(now),
            finished_at: now,
            again: false,
        },
    );
    assert_eq!(life.next(&wanted, now).0, [Action::Start(0)]);
    life.started(&wanted, 0, 1, now);
    assert!(!life.hook_over(0, 0, now), "the new run is left alone");
    assert!(life.condemn(&wanted, 0, 1, now));
    assert!(
        life.hook_over(0, 1, now),
        "its own hook has it asked to end"
    );
    assert!(!life.hook_over(0, 1, now), "once");
}

/// An agent is killed while the pod starts a container; the next one asks for that again.
#[test]
fn a_run_that_an_earlier_agent_began_is_taken_over() {
    let (wanted, mut life, now) = begun(false);
    life.refused(
        &wanted,
        0,
        now,
        "RunContainerError",
        "it runs already".to_owned(),
    );
    assert!(life.started(&wanted, 0, 0, now));
    assert_eq!(life.phase(&wanted), "Running");
    assert_eq!(life.next(&wanted, now).0, []);
}
