//! The store's promises, over a backend in memory that can be told to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::body::Bytes;
use serde_json::{Value, json};

use super::backend::Loaded;
use super::*;
use crate::server::kinds::lease::LEASES;
use crate::server::kinds::node::NODES;

#[derive(Default, Clone)]
struct Memory {
    broken: Arc<AtomicBool>,
}

impl Backend for Memory {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    fn commit(&mut self, _: u64, _: &[(&str, Option<Bytes>)]) -> Result<(), StoreError> {
        match self.broken.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(StoreError::Thread {
                source: std::io::ErrorKind::StorageFull.into(),
            }),
        }
    }
}

fn lease(name: &str) -> Value {
    json!({"metadata": {"namespace": "x", "name": name}})
}

fn put(resource: &'static Resource, value: Value) -> Change {
    Change::Put { resource, value }
}

async fn write_leases(store: &Store, count: usize) {
    let writes = (0..count).map(|_| store.write(|_| Ok(put(&LEASES, lease("a")))));
    for written in futures::future::join_all(writes).await {
        written.unwrap();
    }
}

#[tokio::test]
async fn jobs_in_one_batch_see_each_other() {
    let (store, _writer) = Store::open(Memory::default()).unwrap();
    let creations = (0..20).map(|_| {
        store.write(|view| match view.get("leases/x/a") {
            None => Ok(put(&LEASES, lease("a"))),
            Some(_) => Err(ApiError::NoSuchPath),
        })
    });
    let results = futures::future::join_all(creations).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_failed_commit_is_nobodys_success_and_the_end_of_the_writer() {
    let backend = Memory::default();
    let (store, writer) = Store::open(backend.clone()).unwrap();
    write_leases(&store, 1).await;
    backend.broken.store(true, Ordering::Relaxed);
    let failed = store.write(|_| Ok(put(&LEASES, lease("b")))).await;
    assert_eq!(failed.err().map(|error| error.code()), Some(500));
    writer.ended().await;
    assert!(writer.join().is_err());
    assert!(
        store.get("leases/x/b").is_none(),
        "readers see what is committed"
    );
    assert!(store.get("leases/x/a").is_some());
    assert!(store.write(|_| Ok(put(&LEASES, lease("c")))).await.is_err());
}

#[tokio::test]
async fn a_job_that_panics_costs_only_itself() {
    let (store, _writer) = Store::open(Memory::default()).unwrap();
    let broken = store.write(|_| panic!("a defect")).await;
    assert_eq!(broken.err().map(|error| error.code()), Some(500));
    write_leases(&store, 1).await;
}

#[tokio::test]
async fn a_feed_that_falls_off_the_ring_is_told_and_others_are_not() {
    let (store, _writer) = Store::open(Memory::default()).unwrap();
    let node = json!({"metadata": {"name": "n"}});
    store.write(|_| Ok(put(&NODES, node))).await.unwrap();
    let mut leases = store.follow(&LEASES, LEASES.prefix(None), 1);
    let nodes = store.follow(&NODES, NODES.prefix(None), 1);
    write_leases(&store, RING).await;
    assert!(leases.check().is_ok(), "all of them are still there");
    write_leases(&store, 1).await;
    assert_eq!(
        leases.next().await.err().map(|error| error.code()),
        Some(410)
    );
    assert!(nodes.check().is_ok(), "no event of a node is lost to it");
}

#[tokio::test]
async fn large_outdated_objects_shorten_the_ring() {
    let (store, _writer) = Store::open(Memory::default()).unwrap();
    let feed = store.follow(&LEASES, LEASES.prefix(None), 0);
    // The last is the object as it is, which the ring does not pay for.
    for _ in 0..=RING_BYTES >> 20 {
        assert!(feed.check().is_ok());
        let mut large = lease("a");
        large["metadata"]["annotations"] = json!({"a": "x".repeat(1 << 20)});
        store.write(|_| Ok(put(&LEASES, large))).await.unwrap();
    }
    assert_eq!(feed.check().err().map(|error| error.code()), Some(410));
}

#[tokio::test]
async fn a_feed_delivers_everything_once_and_in_order() {
    let (store, _writer) = Store::open(Memory::default()).unwrap();
    let mut feed = store.follow(&LEASES, LEASES.prefix(Some("x")), 0);
    let elsewhere = json!({"metadata": {"namespace": "y", "name": "a"}});
    store.write(|_| Ok(put(&LEASES, elsewhere))).await.unwrap();
    write_leases(&store, 1_500).await;
    let mut seen = Vec::new();
    while seen.len() < 1_500 {
        seen.extend(feed.next().await.unwrap());
    }
    let revisions: Vec<u64> = seen.iter().map(|event| event.object.revision).collect();
    assert_eq!(revisions, (2..=1_501).collect::<Vec<_>>());
    assert_eq!(seen[0].kind, EventKind::Added);
    assert_eq!(seen[1].kind, EventKind::Modified);
}

#[tokio::test]
async fn a_bookmark_promises_only_what_was_delivered() {
    let (store, _writer) = Store::open(Memory::default()).unwrap();
    let mut feed = store.follow(&LEASES, LEASES.prefix(None), 0);
    write_leases(&store, 1).await;
    assert_eq!(feed.bookmark(), None, "an event is waiting");
    feed.next().await.unwrap();
    let node = json!({"metadata": {"name": "n"}});
    store.write(|_| Ok(put(&NODES, node))).await.unwrap();
    assert_eq!(
        feed.bookmark(),
        Some(2),
        "it moves on with what is not this feed's"
    );
}

#[test]
fn redb_brings_everything_back_and_admits_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut backend = RedbBackend::open(&path).unwrap();
    let (a, b) = (Bytes::from_static(b"{}"), Bytes::from_static(b"[]"));
    backend
        .commit(7, &[("a", Some(a)), ("b", Some(b))])
        .unwrap();
    backend.commit(8, &[("a", None)]).unwrap();
    assert!(matches!(
        RedbBackend::open(&path),
        Err(StoreError::Open { .. })
    ));
    drop(backend);
    let loaded = RedbBackend::open(&path).unwrap().load().unwrap();
    assert_eq!(loaded.revision, 8);
    assert_eq!(loaded.entries, [("b".to_owned(), b"[]".to_vec())]);
}
