import { useState } from "react";
import { usePolled } from "./usePolled.js";

function Panel({ title, answer, children }) {
  return (
    <section className={`panel ${answer.state}`}>
      <h2>
        {title}
        <span className="state">{answer.state === "failed" ? `failed (${answer.status ?? "no answer"})` : answer.state}</span>
      </h2>
      {answer.state === "ok" ? children(answer.body) : <p>{answer.body?.error ?? "…"}</p>}
    </section>
  );
}

function Components({ body }) {
  return (
    <ul className="components">
      {Object.entries(body.components).map(([name, state]) => (
        <li key={name} className={state === "ok" ? "ok" : "failed"}>
          {name}: {state}
        </li>
      ))}
    </ul>
  );
}

function Orders({ body }) {
  return (
    <table>
      <thead>
        <tr>
          <th>Order</th>
          <th>Article</th>
          <th>Pieces</th>
          <th>Total</th>
          <th>Status</th>
        </tr>
      </thead>
      <tbody>
        {body.orders.map((order) => (
          <tr key={order.id}>
            <td>{order.id}</td>
            <td>{order.sku}</td>
            <td>{order.quantity}</td>
            <td>{(order.total_cents / 100).toFixed(2)}</td>
            <td>{order.status}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function Shop() {
  const [customer, setCustomer] = useState(7);
  const ready = usePolled("/health/ready");
  const orders = usePolled(`/api/orders?customer=${customer}`);
  const quote = usePolled("/api/quote");

  return (
    <main>
      <h1>Lab shop</h1>
      <Panel title="Readiness" answer={ready}>
        {(body) => <Components body={body} />}
      </Panel>
      <Panel title="Price quote" answer={quote}>
        {(body) => (
          <p>
            {body.sku}: {body.price} {body.currency}
          </p>
        )}
      </Panel>
      <label>
        Customer <input type="number" min="1" max="20000" value={customer} onChange={(event) => setCustomer(Number(event.target.value) || 1)} />
      </label>
      <Panel title="Orders" answer={orders}>
        {(body) => <Orders body={body} />}
      </Panel>
    </main>
  );
}
