//! `--raw`: a path of the API, asked as it stands and answered as it comes.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use http_body_util::BodyExt;
use kube::Client;

use super::http;
use super::print::Output;

/// # Errors
/// It is no path, or there is no use for an output format.
pub fn check(path: &str, output: Option<&Output>) -> anyhow::Result<()> {
    if output.is_some() {
        bail!("--raw and --output are mutually exclusive");
    }
    if !path.starts_with('/') {
        bail!("--raw must be a valid URL path: parse {path:?}: invalid URI for request");
    }
    Ok(())
}

/// What the server answers is printed piece by piece: it may be a watch.
pub async fn send(
    client: &Client,
    method: http::Method,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<ExitCode> {
    let mut answer = http::send(client, method, path, body).await?;
    let mut out = std::io::stdout();
    while let Some(frame) = answer.frame().await {
        let frame = frame.context("the answer broke off")?;
        if let Some(bytes) = frame.data_ref() {
            out.write_all(bytes)?;
            out.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
