//! A directory with keys and a store, and the servers that run on it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podnet::cluster::pki::{Authority, Identity};
use rustix::io::{FdFlags, fcntl_setfd};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::client::{Connection, Protocol};
use super::{pods, processes};

pub struct Place {
    dir: tempfile::TempDir,
    tls: Tls,
}

/// What a client needs, by the protocol that it asks for.
#[derive(Clone)]
pub struct Tls {
    pub http1: Arc<ClientConfig>,
    pub http2: Arc<ClientConfig>,
}

/// A server process; killed when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub tls: Tls,
    child: Child,
}

/// What the floor answers with, in the place's directory.
pub const POD: &str = "pod.json";

impl Place {
    /// On the disk that `TMPDIR` names, since it is to be written to.
    pub fn new() -> Result<Place> {
        let dir = tempfile::tempdir()?;
        let pki = dir.path().join("pki");
        let authority = Authority::load_or_create(&pki, "bench")?;
        let server = authority.server_identity(&["127.0.0.1".into()])?;
        server.write(&pki, "server")?;
        let client = authority.client_identity("bench", "system:masters")?;
        let http1 = client_config(&authority, &client)?;
        let mut http2 = http1.clone();
        http2.alpn_protocols = vec![b"h2".to_vec()];
        let tls = Tls {
            http1: http1.into(),
            http2: http2.into(),
        };
        Ok(Place { dir, tls })
    }

    /// `podnet server`, and how long it took from its start to the first answer.
    pub async fn start_podnet(&self) -> Result<(Server, Duration)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_podnet"));
        command
            .args(["server", "--listen-fd", &listener.as_raw_fd().to_string()])
            .arg("--pki")
            .arg(self.dir.path().join("pki"))
            .arg("--store")
            .arg(self.dir.path().join("store"))
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null());
        // Only for as long as it takes to start that process.
        fcntl_setfd(&listener, FdFlags::empty())?;
        self.start(command, listener).await
    }

    /// This program, as a server of nothing.
    pub async fn start_floor(&self) -> Result<(Server, Duration)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("floor")
            .arg(self.dir.path())
            .stdin(OwnedFd::from(listener.try_clone()?));
        self.start(command, listener).await
    }

    async fn start(
        &self,
        mut command: Command,
        listener: TcpListener,
    ) -> Result<(Server, Duration)> {
        let address = listener.local_addr()?;
        let start = Instant::now();
        let child = command.spawn().context("start a server")?;
        drop(listener);
        let server = Server {
            address,
            tls: self.tls.clone(),
            child,
        };
        // The socket listens already, so this waits for the server and for nothing else.
        let mut connection = Connection::open(&server, Protocol::Http1).await?;
        let answer = connection.get("/readyz").await?;
        if answer.status != 200 {
            bail!("the server is not ready: {}", answer.status);
        }
        Ok((server, start.elapsed()))
    }

    /// Makes the floor answer with a pod as `server` has it.
    pub async fn keep_pod(&self, server: &Server) -> Result<()> {
        let mut connection = Connection::open(server, Protocol::Http1).await?;
        let path = format!("{}/{}", pods::PATH, pods::name(0));
        let pod = connection.fetch(&path).await?;
        fs::write(self.dir.path().join(POD), &pod)?;
        Ok(())
    }
}

impl Server {
    /// Ends it in an orderly way.
    pub fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().try_into()?);
        kill(pid, Signal::SIGTERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }

    fn process(&self) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string())
    }

    pub fn private_kilobytes(&self) -> Result<u64> {
        processes::private_of(&self.process())
    }

    /// User and system time of all of its threads, proc_pid_stat(5) fields 14 and 15.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(self.process().join("stat"))?;
        let (_, after_name) = stat.rsplit_once(')').context("a name")?;
        let times = after_name.split_whitespace().skip(14 - 3).take(2);
        let ticks = times.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        let rate = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?;
        let rate = rate.context("a clock's rate")?;
        Ok(Duration::from_secs_f64(ticks as f64 / rate as f64))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client_config(authority: &Authority, client: &Identity) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(
        authority.certificate_pem().as_bytes(),
    )?)?;
    let chain = vec![CertificateDer::from_pem_slice(
        client.certificate_pem.as_bytes(),
    )?];
    let key = PrivateKeyDer::from_pem_slice(client.key_pem.as_bytes())?;
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?,
    )
}
