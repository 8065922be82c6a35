//! A volume driver as a plugin of the engine, of the first kind: HTTP over a socket in its folder.
//!
//! The engine keeps asking for a driver it has once used, and waits 15 s for one that has gone, until
//! it is restarted. So it is for a [daemon of the test's own](super::daemon).

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Whether it says where a volume would be while it is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Says {
    /// And leaves an empty folder behind.
    Always,
    WhileMounted,
}

/// The driver, for as long as it is kept. "Mounted" is a folder that has been moved to its place.
#[derive(Debug)]
pub struct VolumeDriver {
    shared: Arc<Shared>,
    socket: PathBuf,
    folder: TempDir,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    says: Says,
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How often each is mounted.
    volumes: BTreeMap<String, usize>,
    mute: bool,
    ended: bool,
}

impl VolumeDriver {
    /// One with this name, for the engine whose plugins are found in the folder `plugins`.
    pub fn start(plugins: &Path, name: &str, says: Says) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(plugins).expect("a folder");
        let socket = plugins.join(format!("{name}.sock"));
        let listener = UnixListener::bind(&socket).expect("bound");
        let shared = Arc::new(Shared {
            folder: folder.path().to_owned(),
            says,
            state: Mutex::default(),
            woken: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        // The engine asks while the test waits for the engine.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.state.lock().expect("lock").ended {
                    return;
                }
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.answer(&stream));
            }
        });
        Self {
            shared,
            socket,
            folder,
        }
    }

    /// Where the files of a volume are while it is mounted.
    pub fn place(&self, volume: &str) -> PathBuf {
        self.shared.mounted(volume)
    }

    /// Whether it answers the question which volumes there are.
    pub fn mute(&self, mute: bool) {
        self.shared.state.lock().expect("lock").mute = mute;
        self.shared.woken.notify_all();
    }
}

impl Drop for VolumeDriver {
    fn drop(&mut self) {
        self.shared.state.lock().expect("lock").ended = true;
        self.mute(false);
        let _ = UnixStream::connect(&self.socket);
        let _ = fs::remove_file(&self.socket);
    }
}

impl Shared {
    fn mounted(&self, volume: &str) -> PathBuf {
        self.folder.join("mounted").join(volume)
    }

    fn answer(&self, mut stream: &UnixStream) {
        let mut reader = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(2) => break,
                Ok(length) if length > 0 => head.push(line.to_lowercase()),
                _ => return,
            }
        }
        let length = head
            .iter()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).expect("a body");
        let asked: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let call = head[0].split(' ').nth(1).expect("a path").to_owned();
        let answer = self.call(&call, asked["Name"].as_str().unwrap_or_default());
        let answer = answer.to_string();
        let length = answer.len();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.plugins.v1.1+json";
        let _ = write!(
            stream,
            "{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
        );
    }

    fn call(&self, call: &str, name: &str) -> Value {
        let mut state = self.state.lock().expect("lock");
        let mounted = self.mounted(name);
        let kept = self.folder.join("kept").join(name);
        match call {
            "/plugin.activate" => json!({ "Implements": ["VolumeDriver"] }),
            "/volumedriver.capabilities" => json!({ "Capabilities": { "Scope": "local" } }),
            "/volumedriver.create" => {
                fs::create_dir_all(&kept).expect("made");
                state.volumes.insert(name.to_owned(), 0);
                json!({ "Err": "" })
            }
            "/volumedriver.mount" => {
                let times = state.volumes.get_mut(name).expect("made before");
                *times += 1;
                if *times == 1 {
                    let _ = fs::remove_dir(&mounted);
                    fs::create_dir_all(self.folder.join("mounted")).expect("made");
                    fs::rename(&kept, &mounted).expect("mounted");
                }
                json!({ "Mountpoint": mounted, "Err": "" })
            }
            "/volumedriver.unmount" => {
                let times = state.volumes.get_mut(name).expect("made before");
                *times -= 1;
                if *times == 0 {
                    fs::rename(&mounted, &kept).expect("unmounted");
                    if self.says == Says::Always {
                        fs::create_dir(&mounted).expect("left behind");
                    }
                }
                json!({ "Err": "" })
            }
            "/volumedriver.path" => json!({ "Mountpoint": self.said(&state, name), "Err": "" }),
            "/volumedriver.get" => match state.volumes.contains_key(name) {
                true => json!({ "Volume": self.told(&state, name), "Err": "" }),
                false => json!({ "Err": "no such volume" }),
            },
            "/volumedriver.list" => {
                while state.mute {
                    state = self.woken.wait(state).expect("lock");
                }
                let names = state.volumes.keys();
                let all: Vec<Value> = names.map(|name| self.told(&state, name)).collect();
                json!({ "Volumes": all, "Err": "" })
            }
            "/volumedriver.remove" => {
                state.volumes.remove(name);
                json!({ "Err": "" })
            }
            other => json!({ "Err": format!("{other} is not known here") }),
        }
    }

    fn told(&self, state: &State, name: &str) -> Value {
        json!({ "Name": name, "Mountpoint": self.said(state, name), "Status": { "kept": "yes" } })
    }

    fn said(&self, state: &State, name: &str) -> PathBuf {
        match self.says == Says::Always || state.volumes.get(name).is_some_and(|times| *times > 0) {
            true => self.mounted(name),
            false => PathBuf::new(),
        }
    }
}
