//! From what is wanted to a lab that runs: a new one, one that was killed and
//! goes on, or one that runs and is made as asked.

use jiff::Timestamp;
use thiserror::Error;

use super::control::{Changes, Channel, ControlError, Reply, Request, Status};
use super::export;
use super::launch::{self, LaunchError};
use super::state::{LabDir, Record, StateError};
use super::topology::{DEFAULT_NAME, Lab, LabFile, LabName, TopologyError};

#[derive(Debug, Error)]
pub enum BringUpError {
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(
        "lab {lab} {is} with {setting}; `podnet down --lab {lab}` first, or choose another name with --lab"
    )]
    Conflict {
        lab: LabName,
        is: &'static str,
        setting: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    New,
    /// It had been killed. Its API objects and keys are those from before.
    Resumed,
    Running,
}

#[derive(Debug)]
pub struct Brought {
    pub dir: LabDir,
    pub how: How,
    /// Against what was there before, running or remembered.
    pub changes: Changes,
    /// When this call started it; `None` if it ran.
    pub booted: Option<Timestamp>,
}

/// Brings up the lab that `wanted` names. What `wanted` leaves open is as the
/// lab has it, if there is one: nodes in particular leave only if `wanted`
/// lists nodes without them.
///
/// # Errors
/// [`BringUpError::Conflict`] if `wanted` says what a lab that exists can no
/// longer become.
pub fn bring_up(wanted: &LabFile) -> Result<Brought, BringUpError> {
    let name = wanted.metadata.name.as_deref().unwrap_or(DEFAULT_NAME);
    let dir = LabDir::new(&LabName::new(name)?);
    // Before anything is asked of a lab of another version.
    dir.record()?;
    if dir.is_live()? {
        match Status::ask(&dir) {
            Ok(running) => return converge(dir, &running.lab, wanted),
            // It was killed a moment ago, and the kernel is not done with it.
            Err(ControlError::Gone | ControlError::Exchange { .. }) => dir.wait_gone()?,
            Err(error) => return Err(error.into()),
        }
    }
    let remembered = dir.record()?;
    start(dir, remembered, wanted)
}

fn start(dir: LabDir, record: Option<Record>, wanted: &LabFile) -> Result<Brought, BringUpError> {
    let how = if record.is_some() {
        How::Resumed
    } else {
        How::New
    };
    let mut resolved = wanted.clone();
    if let Some(record) = &record {
        // A dead lab holds no port.
        let mut spec = wanted.spec.clone();
        spec.api_port = None;
        refuse_conflict(&dir, "has remains", &Lab::resolve(&record.lab)?, &spec)?;
        resolved = resolved.or(&record.lab);
    }
    let lab = Lab::resolve(&resolved)?;
    dir.create()?;
    dir.wait_gone()?;
    export::withdraw(&dir);
    let api = match launch::bind_api(lab.api_port) {
        // It was only remembered, so that old kubeconfigs go on working.
        Err(LaunchError::PortInUse { .. }) if wanted.spec.api_port.is_none() => {
            launch::bind_api(0)?
        }
        other => other?,
    };
    let booted = Timestamp::now();
    let changes = launch::launch(&dir, &lab, api)?;
    Ok(Brought {
        dir,
        how,
        changes,
        booted: Some(booted),
    })
}

fn converge(dir: LabDir, running: &LabFile, wanted: &LabFile) -> Result<Brought, BringUpError> {
    refuse_conflict(
        &dir,
        "is already running",
        &Lab::resolve(running)?,
        &wanted.spec,
    )?;
    let mut changes = Changes::default();
    if wanted.spec.nodes.is_some() {
        let lab = wanted.clone().or(running);
        // Here and not only there: the user gets the typed error.
        Lab::resolve(&lab)?;
        let channel = Channel::connect(&dir)?.ok_or(ControlError::Gone)?;
        if let (Reply::Changed(done), _) = channel.ask(&Request::Converge { lab })? {
            export::withdraw_nodes(&dir, &done.removed);
            changes = done;
        }
    }
    Ok(Brought {
        dir,
        how: How::Running,
        changes,
        booted: None,
    })
}

fn refuse_conflict(
    dir: &LabDir,
    is: &'static str,
    has: &Lab,
    wanted: &super::topology::Spec,
) -> Result<(), BringUpError> {
    match has.conflict(wanted) {
        None => Ok(()),
        Some(setting) => Err(BringUpError::Conflict {
            lab: dir.name().clone(),
            is,
            setting,
        }),
    }
}
