import type { APIGatewayProxyEventV2 } from "aws-lambda";

/** An execution environment's view of one invocation, with as much as a handler gets from the platform. */
export const context = {
  awsRequestId: "8f5074a5-5a9f-4b0e-8a0e-000000000000",
  callbackWaitsForEmptyEventLoop: true,
  functionName: "toolruntime",
  functionVersion: "$LATEST",
  invokedFunctionArn: "arn:aws:lambda:eu-central-1:123456789012:function:toolruntime",
  logGroupName: "/aws/lambda/toolruntime",
  logStreamName: "2026/11/22/[$LATEST]0",
  memoryLimitInMB: "1024",
  getRemainingTimeInMillis: (): number => 29_000,
};

export interface Asked {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

interface Front {
  readonly domainName: string;
  readonly routeKey: string;
  readonly apiId: string;
}

function eventOf({ method, path, query = "", headers = {}, body }: Asked, { domainName, routeKey, apiId }: Front): APIGatewayProxyEventV2 {
  return {
    version: "2.0",
    routeKey,
    rawPath: path,
    rawQueryString: query,
    headers: { host: domainName, "x-forwarded-proto": "https", "x-forwarded-port": "443", ...headers },
    requestContext: {
      accountId: "123456789012",
      apiId,
      domainName,
      domainPrefix: apiId,
      http: { method, path, protocol: "HTTP/1.1", sourceIp: "203.0.113.7", userAgent: "curl/8.0" },
      requestId: "JKJaXmPLvHcESHA=",
      routeKey,
      stage: "$default",
      time: "22/Nov/2026:12:00:00 +0000",
      timeEpoch: 1_795_348_800_000,
    },
    ...(body === undefined ? {} : { body }),
    isBase64Encoded: false,
  };
}

/** API Gateway's HTTP API with payload format 2.0 and a route for everything. */
export function gatewayEvent(asked: Asked): APIGatewayProxyEventV2 {
  return eventOf(asked, {
    domainName: "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
    routeKey: "ANY /{proxy+}",
    apiId: "a1b2c3d4e5",
  });
}

/** A function URL: the same format, another name; a body that is no text comes as base64. */
export function functionUrlEvent(asked: Asked): APIGatewayProxyEventV2 {
  const event = eventOf(asked, { domainName: "abcdefghij.lambda-url.eu-central-1.on.aws", routeKey: "$default", apiId: "abcdefghij" });
  if (event.body === undefined) return event;
  return { ...event, body: Buffer.from(event.body).toString("base64"), isBase64Encoded: true };
}
