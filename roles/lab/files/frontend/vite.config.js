import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Built straight into the build context of the proxy's image, and committed there: using the lab needs no Node.js.
export default defineConfig({
  plugins: [react()],
  build: { outDir: "../images/proxy/html", emptyOutDir: true },
});
