//! The vault over the years: it keeps up with what a password should cost, through kills and against races,
//! and nothing secret gets into a log.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cfost::host::{Entropy, Host, ManualClock, SeededEntropy};
use cfost::identity::{PasswordCost, Vault};
use cfost::prelude::*;
use cfost_tests::fleet::{self, START_MS};
use cfost_tests::process::{child, tell, told, work};
use rusqlite::Connection;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
}

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "quiet lemon harbour";

/// What passwords cost when the story begins.
fn then() -> PasswordCost {
    PasswordCost::new(64, 1, 1).unwrap()
}

/// What they cost today: still little, for a test.
fn today() -> PasswordCost {
    PasswordCost::new(1024, 2, 2).unwrap()
}

/// A registered user's database, logged out.
fn locked(path: &Path) -> Db {
    let db = Db::open(path, models![Todo]).unwrap();
    db.register_user_with("Ada", EMAIL, PASSWORD, then()).unwrap();
    db.insert(Todo { title: "milk".into(), ..Todo::default() }).unwrap();
    db.logout().unwrap();
    db
}

fn cost(path: &Path) -> PasswordCost {
    let conn = Connection::open(path).unwrap();
    let vault: Vec<u8> =
        conn.query_row("SELECT value FROM cfost_meta WHERE key = 'vault'", [], |row| row.get(0)).unwrap();
    Vault::from_bytes(&vault).unwrap().cost()
}

#[test]
fn a_login_raises_a_vault_to_todays_cost_once_and_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let db = locked(&path);
    db.login_with(EMAIL, "wrong lemon harbour", today()).unwrap_err();
    assert_eq!(cost(&path), then(), "only the right password can");
    db.login_with(EMAIL, PASSWORD, today()).unwrap();
    assert_eq!(cost(&path), today());
    db.logout().unwrap();
    db.login_with(EMAIL, PASSWORD, then()).unwrap();
    assert_eq!(cost(&path), today(), "a vault is never lowered");
    db.logout().unwrap();
    drop(db);
    let db = Db::open(&path, models![Todo]).unwrap();
    db.login(EMAIL, PASSWORD).unwrap();
    assert_eq!(cost(&path), PasswordCost::default());
    assert!(db.verify().unwrap().is_sound());
}

#[test]
#[ignore = "runs as a child of a_login_killed_while_it_raises_the_vault_harms_nothing"]
fn logs_in_until_killed() {
    let Some(path) = work() else { return };
    let db = Db::open(&path, models![Todo]).unwrap();
    tell("begins").unwrap();
    db.login_with(EMAIL, PASSWORD, today()).unwrap();
    tell("done").unwrap();
    // Waits for its end.
    let _ = std::io::stdin().lines().next();
}

#[test]
fn a_login_killed_while_it_raises_the_vault_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let seed = 20_260_601;
    let random = SeededEntropy::new(seed);
    let mut raised = 0;
    for kill in 0..24_u32 {
        let path = dir.path().join(format!("{kill}.db"));
        drop(locked(&path));
        let mut process = child("logs_in_until_killed", path.to_str().unwrap()).unwrap();
        let mut process = process.stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| told(&line) == Some("begins")), "the child has no database");
        let mut bytes = [0; 2];
        random.fill(&mut bytes);
        // An unoptimised login takes about this long.
        thread::sleep(Duration::from_micros(u64::from(u16::from_le_bytes(bytes)) % 40_000));
        process.kill().unwrap();
        process.wait().unwrap();
        let acknowledged = lines.any(|line| told(&line) == Some("done"));

        let at = format!("seed {seed}, kill {kill}");
        raised += u32::from(cost(&path) == today());
        assert!(!acknowledged || cost(&path) == today(), "{at}: a login was told and not kept");
        let db = Db::open(&path, models![Todo]).unwrap();
        if db.is_logged_in().unwrap() {
            assert_eq!(cost(&path), today(), "{at}: half of it was kept");
            db.logout().unwrap();
        }
        db.login_with(EMAIL, PASSWORD, then()).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(db.count::<Todo>().unwrap(), 1);
    }
    tell(&format!("{raised} of 24 had been raised")).unwrap();
}

/// Randomness that does something when it is asked: here, at the moment at which a vault is sealed anew.
struct Meddling<F>(Arc<Mutex<Option<F>>>);

impl<F: FnOnce() + Send> Entropy for Meddling<F> {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() == 16
            && let Some(meddle) = self.0.lock().unwrap().take()
        {
            meddle();
        }
        Host::system().fill(bytes);
    }
}

#[test]
fn a_password_that_is_changed_during_a_login_elsewhere_stays_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let other = locked(&path);
    let armed = Arc::new(Mutex::new(None));
    let host = Host::new(ManualClock::at(START_MS), Meddling(Arc::clone(&armed)));
    let db = Db::options().host(host).open(&path, models![Todo]).unwrap();
    *armed.lock().unwrap() = Some(move || {
        other.login_with(EMAIL, PASSWORD, then()).unwrap();
        other.set_password("another password entirely").unwrap();
    });
    db.login_with(EMAIL, PASSWORD, today()).unwrap();
    db.logout().unwrap();
    db.login_with(EMAIL, PASSWORD, today()).unwrap_err();
    db.login_with(EMAIL, "another password entirely", today()).unwrap();
}

/// Writes down all that is told to `tracing`, at any level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        writeln!(self.0.lock().unwrap(), "{field}: {value:?}").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn no_secret_gets_into_a_log_or_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let paths: [PathBuf; 2] = ["phone.db", "laptop.db"].map(|name| dir.path().join(name));
    let log = Log::default();
    let mut secrets = vec![PASSWORD.to_owned(), "wrong lemon harbour".to_owned(), "password1".to_owned()];
    tracing::subscriber::with_default(log.clone(), || {
        tracing::info!("the log is on");
        let [phone, laptop] = paths.map(|path| Db::open(path, models![Todo]).unwrap());
        let told = |error: cfost::Error| tracing::error!(%error, debug = ?error);
        told(phone.register_user_with("Ada", EMAIL, "password1", then()).unwrap_err());
        let registration = phone.register_user_with("Ada", EMAIL, PASSWORD, then()).unwrap();
        tracing::info!(?registration, ?phone);
        secrets.push(registration.recovery_phrase.words().to_string());
        phone.logout().unwrap();
        told(phone.login_with(EMAIL, "wrong lemon harbour", then()).unwrap_err());
        phone.login_with(EMAIL, PASSWORD, today()).unwrap();
        fleet::pair(&phone, &laptop, &Host::system()).unwrap();
        fleet::sync(&phone, &laptop).unwrap();
        for db in [&phone, &laptop] {
            let keys = db.device_keys().unwrap().to_secret_bytes();
            for part in keys.chunks_exact(8) {
                secrets.push(part.iter().map(|byte| format!("{byte:02x}")).collect());
                secrets.push(format!("{part:?}").trim_matches(['[', ']']).to_owned());
            }
        }
    });
    let log = log.0.lock().unwrap();
    assert!(log.contains("the log is on") && log.contains("wrong e-mail address or password"), "{log}");
    for secret in secrets {
        assert!(!log.contains(&secret), "'{secret}' is in the log:\n{log}");
    }
}

#[test]
fn judging_a_password_is_for_apps_too() {
    let started = Instant::now();
    cfost::identity::check_password(PASSWORD, &["Ada", EMAIL]).unwrap();
    let error = cfost::identity::check_password("lovelace1815", &["Ada Lovelace", EMAIL]).unwrap_err();
    assert!(error.to_string().starts_with("the password is easy to guess. "), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}
