import { useEffect, useState } from "react";

// A request that hangs must not pile up behind the next one, so each is given up before its successor starts.
const PERIOD_MS = 5000;
const TIMEOUT_MS = 4500;

/** Asks `path` again and again; returns {state: "loading" | "ok" | "failed", status, body}. */
export function usePolled(path) {
  const [answer, setAnswer] = useState({ state: "loading", status: null, body: null });

  useEffect(() => {
    let gone = false;

    async function ask() {
      let next;
      try {
        const response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS) });
        const body = await response.json().catch(() => null);
        next = { state: response.ok ? "ok" : "failed", status: response.status, body };
      } catch (error) {
        next = { state: "failed", status: null, body: { error: error.name } };
      }
      if (!gone) {
        setAnswer(next);
      }
    }

    ask();
    const timer = setInterval(ask, PERIOD_MS);
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [path]);

  return answer;
}
