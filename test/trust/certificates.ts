import "reflect-metadata";
import { createHash } from "node:crypto";
import * as x509 from "@peculiar/x509";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** A certificate and its key, as PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the certificate in base64url, as tokens name it. */
  readonly digest: string;
}

/** An authority that makes certificates for one test. */
export class Authority {
  readonly ca: string;
  readonly #root: x509.X509Certificate;
  readonly #keys: CryptoKeyPair;
  #serial = 1;

  private constructor(root: x509.X509Certificate, keys: CryptoKeyPair) {
    this.ca = root.toString("pem");
    this.#root = root;
    this.#keys = keys;
  }

  static async open(name = "Test root"): Promise<Authority> {
    x509.cryptoProvider.set(crypto);
    const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const root = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: "01",
      name: `CN=${name}`,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 3_600_000),
      signingAlgorithm: algorithm,
      keys,
      extensions: [new x509.BasicConstraintsExtension(true, 1, true), new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true)],
    });
    return new Authority(root, keys);
  }

  async issue(name: string, validForMs = 3_600_000): Promise<Certificate> {
    const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const cert = await x509.X509CertificateGenerator.create({
      serialNumber: (++this.#serial).toString(16).padStart(4, "0"),
      subject: `CN=${name}`,
      issuer: this.#root.subject,
      notBefore: new Date(Date.now() - 3_600_000),
      notAfter: new Date(Date.now() + validForMs),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [
        new x509.SubjectAlternativeNameExtension([
          { type: "dns", value: "localhost" },
          { type: "ip", value: "127.0.0.1" },
        ]),
      ],
    });
    const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
    const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString("base64").replaceAll(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`;
    return { cert: cert.toString("pem"), key, digest: createHash("sha256").update(Buffer.from(cert.rawData)).digest("base64url") };
  }
}
