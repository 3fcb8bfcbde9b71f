// The live stream: what the service knows, kept by applying reset, add, update and remove.

const SILENT_MS = 20_000; // the status record comes every 5 s; without it the line is dead, whatever the socket says

export class Live extends EventTarget {
  constructor(url) {
    super();
    this.url = url;
    this.known = { vehicle: new Map(), alert: new Map(), congestion: new Map(), status: new Map() };
    this.heardAt = 0;
    this.skew = 0; // the service's clock minus this one, seconds
    this.connected = false;
    this.connect();
    setInterval(() => {
      if (performance.now() - this.heardAt > SILENT_MS) this.connect();
    }, 2_000);
  }

  /** The service's clock, POSIX seconds: ages must not depend on how this machine's clock is set. */
  now() {
    return Date.now() / 1000 + this.skew;
  }

  connect() {
    this.source?.close();
    this.heardAt = performance.now();
    const source = (this.source = new EventSource(this.url));
    source.onerror = () => {
      this.connected = false;
      this.dispatchEvent(new Event("line"));
    };
    source.addEventListener("reset", (event) => {
      for (const entities of Object.values(this.known)) entities.clear();
      for (const resource of JSON.parse(event.data)) this.put(resource, false);
      this.heard("reset");
    });
    for (const name of ["add", "update"]) {
      source.addEventListener(name, (event) => {
        this.put(JSON.parse(event.data), true);
        this.heard();
      });
    }
    source.addEventListener("remove", (event) => {
      const { type, id } = JSON.parse(event.data);
      this.known[type]?.delete(id);
      this.dispatchEvent(new CustomEvent(type, { detail: { id, attributes: null } }));
      this.heard();
    });
  }

  put(resource, tell) {
    const { type, id, attributes, geometry } = resource;
    if (!this.known[type]) return;
    if (geometry) attributes.geometry = geometry;
    this.known[type].set(id, attributes);
    if (type === "status") this.skew = attributes.at - Date.now() / 1000;
    if (tell) this.dispatchEvent(new CustomEvent(type, { detail: { id, attributes } }));
  }

  heard(reset) {
    this.heardAt = performance.now();
    if (!this.connected) {
      this.connected = true;
      this.dispatchEvent(new Event("line"));
    }
    if (reset) this.dispatchEvent(new Event("reset"));
  }
}
