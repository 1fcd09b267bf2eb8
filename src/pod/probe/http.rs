//! `httpGet`: 200 to 399 is good. A redirect is followed on the same host, up to
//! ten of them; one that leads to another host is good with a word about it
//! (pkg/probe/http).

use std::pin::pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::target::{HttpCheck, Target};
use super::{Answer, MAX_OUTPUT, connect};

const AGENT: &str = concat!("kube-probe/", "1.33");
const REDIRECTS: usize = 10;

/// What came back, as far as it counts.
struct Answered {
    status: StatusCode,
    location: Option<String>,
}

pub async fn get(check: &HttpCheck) -> Answer {
    let mut at = check.clone();
    for _ in 0..=REDIRECTS {
        let answered = match one(&at).await {
            Ok(answered) => answered,
            Err(why) => return Answer::Bad(format!("Get \"{at}\": {why}")),
        };
        let code = answered.status.as_u16();
        if !(200..400).contains(&code) {
            return Answer::Bad(format!("HTTP probe failed with statuscode: {code}"));
        }
        let Some(location) = answered
            .location
            .filter(|_| answered.status.is_redirection())
        else {
            return Answer::Good;
        };
        match redirected(&at, &location) {
            Some(next) => at = next,
            None => return Answer::Warning(format!("Probe terminated redirects at {location}")),
        }
    }
    Answer::Bad(format!(
        "Get \"{check}\": stopped after {REDIRECTS} redirects"
    ))
}

/// Where a redirect leads, on the same host.
fn redirected(from: &HttpCheck, location: &str) -> Option<HttpCheck> {
    let uri: Uri = location.parse().ok()?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut next = from.clone();
    next.path = path.to_owned();
    let Some(host) = uri.host() else {
        if !path.starts_with('/') {
            let folder = from.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            next.path = format!("{folder}/{path}");
        }
        return Some(next);
    };
    if host != from.target.host() {
        return None;
    }
    next.tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if next.tls { 443 } else { 80 });
    next.target = match next.target {
        Target::Address(ip, _) => Target::Address(ip, port),
        Target::Name(name, _) => Target::Name(name, port),
    };
    Some(next)
}

async fn one(check: &HttpCheck) -> Result<Answered, String> {
    let request = request(check)?;
    let stream = connect(&check.target).await?;
    // The last answer of a connection that is closed at once may come late.
    let _ = stream.set_nodelay(true);
    if !check.tls {
        return exchange(stream, request).await;
    }
    let name = match &check.target {
        Target::Address(ip, _) => ServerName::IpAddress((*ip).into()),
        Target::Name(name, _) => {
            ServerName::try_from(name.clone()).map_err(|error| error.to_string())?
        }
    };
    let tls = TlsConnector::from(trusting()?);
    let stream = tls.connect(name, stream).await;
    exchange(stream.map_err(|error| error.to_string())?, request).await
}

fn request(check: &HttpCheck) -> Result<Request<Empty<Bytes>>, String> {
    let bad = |error: http::Error| error.to_string();
    let mut request = Request::get(&check.path).body(Empty::new()).map_err(bad)?;
    let headers = request.headers_mut();
    for (name, value) in &check.headers {
        let name = HeaderName::try_from(name).map_err(|error| bad(error.into()))?;
        let value = HeaderValue::try_from(value).map_err(|error| bad(error.into()))?;
        headers.append(name, value);
    }
    let host = HeaderValue::try_from(check.target.to_string()).map_err(|e| bad(e.into()))?;
    headers.entry(HOST).or_insert(host);
    headers
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(AGENT));
    headers
        .entry(ACCEPT)
        .or_insert(HeaderValue::from_static("*/*"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Answered, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(said)?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(said)?;
        let answered = answered(&response);
        drain(response).await;
        Ok(answered)
    };
    let mut connection = pin!(connection);
    let mut talk = pin!(talk);
    tokio::select! {
        biased;
        answered = &mut talk => answered,
        ended = &mut connection => match ended {
            // What it said last may still be there to read.
            Ok(()) => talk.await,
            Err(error) => Err(said(error)),
        },
    }
}

fn answered(response: &Response<Incoming>) -> Answered {
    let location = response.headers().get(LOCATION);
    Answered {
        status: response.status(),
        location: location.and_then(|l| Some(l.to_str().ok()?.to_owned())),
    }
}

/// So that a server that is still writing is not cut off, within limits.
async fn drain(response: Response<Incoming>) {
    let mut body = response.into_body();
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read >= MAX_OUTPUT {
            return;
        }
    }
}

fn said(error: hyper::Error) -> String {
    let cause = std::error::Error::source(&error);
    match cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A probe asks whether somebody answers, not who.
fn trusting() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Anyone(Arc::clone(&provider)));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Arc::new(config))
    });
    config.clone()
}

#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{IpAddr, Ipv4Addr, TcpListener};

    /// Answers each connection with the next of `answers`; what was asked comes back.
    fn server(answers: Vec<String>) -> (u16, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                asked.push(String::from_utf8(request).unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        (port, asked)
    }

    fn check(port: u16) -> HttpCheck {
        HttpCheck {
            tls: false,
            target: Target::Address(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            path: "/healthz?full".to_owned(),
            headers: vec![("X-Who".to_owned(), "me".to_owned())],
        }
    }

    fn response(status: &str, rest: &str) -> String {
        format!("HTTP/1.1 {status}\r\n{rest}Content-Length: 2\r\n\r\nhi")
    }

    fn ask(answers: Vec<String>) -> (Answer, Vec<String>) {
        let (port, asked) = server(answers);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answer = runtime.block_on(get(&check(port)));
        (answer, asked.join().unwrap())
    }

    #[test]
    fn what_is_asked_is_what_a_kubelet_asks() {
        let (answer, asked) = ask(vec![response("200 OK", "")]);
        assert_eq!(answer, Answer::Good);
        let request = asked[0].to_lowercase();
        assert!(
            request.starts_with("get /healthz?full http/1.1\r\n"),
            "{request}"
        );
        for header in ["x-who: me", "user-agent: kube-probe/", "host: 127.0.0.1:"] {
            assert!(request.contains(header), "{request}");
        }
    }

    #[test]
    fn from_400_on_it_is_bad() {
        for (status, good) in [
            ("204 No Content", true),
            ("404 Not Found", false),
            ("500 Oh", false),
        ] {
            let (answer, _) = ask(vec![response(status, "")]);
            assert_eq!(answer.is_good(), good, "{status}");
        }
        let (answer, _) = ask(vec![response("500 Oh", "")]);
        let text = "HTTP probe failed with statuscode: 500".to_owned();
        assert_eq!(answer, Answer::Bad(text));
    }

    #[test]
    fn redirects_are_followed_at_home_only() {
        let away = response("302 Found", "Location: http://example.com/\r\n");
        let (answer, asked) = ask(vec![away]);
        assert!(matches!(answer, Answer::Warning(_)), "{answer:?}");
        assert_eq!(asked.len(), 1);
        let home = response("302 Found", "Location: /other\r\n");
        let (answer, asked) = ask(vec![home, response("500 Oh", "")]);
        assert!(!answer.is_good());
        assert!(asked[1].starts_with("GET /other "), "{}", asked[1]);
    }
}
