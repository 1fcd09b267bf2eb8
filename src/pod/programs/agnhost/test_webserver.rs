//! `agnhost test-webserver`: the files of the container, by their paths.
//!
//! A directory answers with its index.html and with nothing else. What a
//! container can read is what it may serve, so a link may lead anywhere.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ::http::StatusCode;

use super::super::end::End;
use super::super::flags::Flag;
use super::super::http::{Request, Response, Server};
use super::super::{ProgramError, listen};
use super::only_flags;

const PORT: u16 = 80;
const INDEX: &str = "index.html";
/// A file is read whole before it is sent.
const BYTES_MAX: u64 = 64 << 20;

pub fn run(args: &[String]) -> Result<u8, ProgramError> {
    let flags = only_flags("test-webserver", &[Flag::Value("port")], args)?;
    let mut end = End::expect(&[])?;
    let listener = listen::tcp(flags.port("port", PORT)?)?;
    Server::start(listener, |request| answer(request, Path::new("/")))?;
    end.next();
    Ok(0)
}

fn answer(request: &Request, root: &Path) -> Response {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Response::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    }
    let read = match file(&request.path) {
        Some(path) => read(root.join(path)),
        None => Err(io::ErrorKind::NotFound.into()),
    };
    match read {
        Ok(content) => Response::ok(content),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Response::new(StatusCode::FORBIDDEN, "403 Forbidden\n")
        }
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            let text = format!("files of more than {BYTES_MAX} bytes are not served\n");
            Response::new(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
        Err(_) => Response::new(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

/// Below the root; `None` for a path with `..` in it.
fn file(path: &str) -> Option<PathBuf> {
    // What means something in a form and nothing in a path.
    let escaped = path
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    let (decoded, _) = form_urlencoded::parse(escaped.as_bytes()).next()?;
    let parts = decoded.split('/').filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.collect();
    (!parts.contains(&"..")).then(|| parts.iter().collect())
}

fn read(mut path: PathBuf) -> io::Result<Vec<u8>> {
    if fs::metadata(&path)?.is_dir() {
        path.push(INDEX);
    }
    // Opening a pipe could wait for ever.
    if !fs::metadata(&path)?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut content = Vec::new();
    File::open(&path)?
        .take(BYTES_MAX + 1)
        .read_to_end(&mut content)?;
    match content.len() as u64 > BYTES_MAX {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, root: &Path) -> (u16, String) {
        let request = Request {
            method: "GET".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers: Vec::new(),
            peer: ([127, 0, 0, 1], 1).into(),
        };
        let response = answer(&request, root);
        let body = String::from_utf8_lossy(&response.body).into_owned();
        (response.status.as_u16(), body)
    }

    #[test]
    fn files_are_served_and_directories_by_their_index() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        fs::create_dir(root.join("pages")).expect("made");
        fs::write(root.join("pages/index.html"), "home").expect("written");
        fs::write(root.join("a+b c=&d"), "odd").expect("written");
        assert_eq!(get("/pages/index.html", root), (200, "home".to_owned()));
        assert_eq!(get("/pages/", root), (200, "home".to_owned()));
        assert_eq!(get("/a+b%20c=&d", root), (200, "odd".to_owned()));
        assert_eq!(get("/", root).0, 404);
        assert_eq!(get("/pages/%2e%2e/pages/index.html", root).0, 404);
    }
}
