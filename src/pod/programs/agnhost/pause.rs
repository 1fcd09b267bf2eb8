//! `agnhost pause`: stays, for others to be run beside it. Unlike the pause
//! image it ends with 2 when terminated, with 1 when interrupted.

use std::thread;

use signal_hook::consts::SIGINT;

use super::super::end::End;
use super::super::flags::Flag;
use super::super::{ProgramError, say};
use super::only_flags;

pub fn run(args: &[String]) -> Result<u8, ProgramError> {
    let flags = only_flags("pause", &[Flag::Value("delay-shutdown")], args)?;
    let delay = flags.seconds("delay-shutdown")?;
    let mut end = End::expect(&[])?;
    say("Paused");
    let code = if end.next() == SIGINT { 1 } else { 2 };
    if !delay.is_zero() {
        say(&format!(
            "Sleeping {} seconds before exit ...",
            delay.as_secs()
        ));
        thread::sleep(delay);
    }
    say(&format!("exiting {code}"));
    Ok(code)
}
