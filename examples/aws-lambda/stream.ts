import { streamHandle } from "hono/aws-lambda";
import { app } from "./app.ts";

/** For function URLs with the invoke mode `RESPONSE_STREAM`: events go out as they come. */
export const handler = streamHandle(app);
