//! `agnhost liveness`: well for ten seconds, then not, so that a liveness probe
//! has something to find.

use std::time::{Duration, Instant};

use ::http::StatusCode;

use super::super::end::End;
use super::super::http::{Request, Response, Server};
use super::super::{ProgramError, listen};
use super::only_flags;

const PORT: u16 = 8080;
const WELL_FOR: Duration = Duration::from_secs(10);

pub fn run(args: &[String]) -> Result<u8, ProgramError> {
    only_flags("liveness", &[], args)?;
    let mut end = End::expect(&[])?;
    let started = Instant::now();
    Server::start(listen::tcp(PORT)?, move |request| {
        answer(request, started.elapsed())
    })?;
    end.next();
    Ok(0)
}

fn answer(request: &Request, age: Duration) -> Response {
    match request.path.as_str() {
        "/started" => Response::ok(format!("{age:?}")),
        "/healthz" if age > WELL_FOR => {
            let text = format!("error: {}", age.as_secs_f64());
            Response::new(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
        "/healthz" => Response::ok("ok"),
        "/redirect" => {
            Response::new(StatusCode::FOUND, "").with_header("Location", request.value("loc"))
        }
        _ => Response::new(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_well_for_ten_seconds() {
        let request = Request {
            method: "GET".to_owned(),
            path: "/healthz".to_owned(),
            query: String::new(),
            headers: Vec::new(),
            peer: ([127, 0, 0, 1], 1).into(),
        };
        assert_eq!(answer(&request, WELL_FOR).status, StatusCode::OK);
        let later = answer(&request, WELL_FOR + Duration::from_millis(500));
        assert_eq!(
            later,
            Response::new(StatusCode::INTERNAL_SERVER_ERROR, "error: 10.5")
        );
    }
}
